// socket.io as its documentation begins, on WebSocket alone: a room for each topic.
import { Server } from 'socket.io';
import { listen } from './listen.ts';

const server = listen((path, payload) => void io.to(path).emit('m', payload));

const io = new Server(server, { transports: ['websocket'], serveClient: false });

io.on('connection', (socket) => {
  socket.on('listen', async (path: string, done: () => void) => {
    await socket.join(path);
    done();
  });
});
