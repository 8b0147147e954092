/** What nchan calls the ways in which clients listen. */
export type Subscriber = 'eventsource' | 'websocket';

/**
 * nchan as its documentation configures a plain publisher and subscriber, one worker, messages in shared memory. Nothing in it costs throughput; what a run needs to lose nothing is set: the buffer holds
 * more than the publisher is ever ahead of the slowest client.
 */
export function nchanConfig(o: {
  readonly port: number;
  readonly module: string;
  readonly directory: string;
  readonly root: boolean;
  readonly subscriber: Subscriber;
}): string {
  return `daemon off;
${o.root ? 'user root;' : ''}
worker_processes 1;
worker_rlimit_nofile 20000;
load_module ${o.module};
pid ${o.directory}/nginx.pid;
error_log ${o.directory}/error.log warn;
events { worker_connections 20000; }
http {
  access_log off;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_body_buffer_size 128k;
  client_body_temp_path ${o.directory}/body;
  proxy_temp_path ${o.directory}/proxy;
  fastcgi_temp_path ${o.directory}/fastcgi;
  uwsgi_temp_path ${o.directory}/uwsgi;
  scgi_temp_path ${o.directory}/scgi;
  nchan_shared_memory_size 1024M;
  nchan_message_buffer_length 1000;
  nchan_message_timeout 5m;
  server {
    listen 127.0.0.1:${o.port} backlog=4096;
    location ~ /pub/(\\w+)$ {
      nchan_publisher;
      nchan_channel_id $1;
    }
    location ~ /sub/(\\w+)$ {
      nchan_subscriber ${o.subscriber};
      nchan_subscriber_first_message newest;
      nchan_channel_id $1;
    }
  }
}
`;
}
