// Writes deploy/caddy/Caddyfile from deploy/routes.json. With --check it writes nothing and fails where the file is
// out of step.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PushfleetError } from '../packages/core/src/mod.ts';
import { problem, type Route, readRoutes } from '../packages/runtime/src/mod.ts';

const path = join(import.meta.dirname, '../deploy/caddy/Caddyfile');

/** The paths of a route as Caddy's matcher names them. */
const matched = ({ path, pathType }: Route): string[] =>
  pathType === 'Prefix' ? [path, `${path}/*`] : [path];

/** A problem as the services answer it, for what no service answers. */
function respond(error: PushfleetError): string {
  const { status, headers, body } = problem(error);
  const lines = Object.entries(headers).map(([name, value]) => `\t\theader ${name} ${JSON.stringify(value)}`);
  return [...lines, `\t\trespond \`${body}\` ${status}`].join('\n');
}

function handle([service, routes]: readonly [string, readonly Route[]]): string {
  const ports = new Set(routes.map(({ port }) => port));
  if (ports.size !== 1)
    throw new Error(`The routes of ${service} name several ports: ${[...ports].join(', ')}`);
  return `\t@${service} path ${routes.flatMap(matched).join(' ')}
	handle @${service} {
		reverse_proxy {
			dynamic a ${service} ${[...ports][0]} {
				refresh 2s
			}
			import instances
			transport http {
				dial_timeout 1s
				keepalive 4s
			}
		}
	}`;
}

function caddyfile(routes: readonly Route[]): string {
  const services = [...Map.groupBy(routes, ({ service }) => service)];
  const notFound = new PushfleetError(
    'not_found',
    'No service answers at this path; GET /.well-known/pushfleet lists what there is.',
  );
  const away = new PushfleetError('unavailable', 'The service does not answer.', { retryAfterMs: 1_000 });
  return `# Written by scripts/caddyfile.ts from deploy/routes.json; change that.
{
	admin localhost:2019
	# TLS is the business of whoever stands in front, or of site addresses of your own: docs/operations.md.
	auto_https off
	servers {
		protocols h1 h2c
		timeouts {
			read_header 10s
			idle 2m
		}
	}
}

# All instances of a service have one name. Who cannot be reached is passed over; what was sent is not sent twice.
(instances) {
	lb_policy random
	lb_try_duration 5s
	lb_try_interval 100ms
}

:8000 {
${services.map(handle).join('\n')}
	handle {
${respond(notFound)}
	}
	handle_errors {
${respond(away)}
	}
}

# gRPC in clear, for publishers behind the same TLS as all else.
:50051 {
	reverse_proxy {
		dynamic a publish 50051 {
			refresh 2s
		}
		import instances
		transport http {
			versions h2c 2
			dial_timeout 1s
		}
	}
}
`;
}

const text = caddyfile(readRoutes());
if (!process.argv.includes('--check')) writeFileSync(path, text);
else if (text !== readFileSync(path, 'utf8')) {
  console.error('deploy/caddy/Caddyfile is out of step with deploy/routes.json: node scripts/caddyfile.ts');
  process.exitCode = 1;
}
