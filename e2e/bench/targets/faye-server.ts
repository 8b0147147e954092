// Faye as its documentation begins: a channel for each topic, its engine in memory.
import faye from 'faye';
import { listen } from './listen.ts';

// After this many seconds without a word from a client Faye forgets it; the clients of the benchmark only listen.
const bayeux = new faye.NodeAdapter({ mount: '/bayeux', timeout: 3_600 });

bayeux.attach(listen((path, payload) => void bayeux.getClient().publish(path, payload)));
