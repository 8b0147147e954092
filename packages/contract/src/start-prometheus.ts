import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '@pushfleet/cli/servers';
import { endWithUs, temporaryFolder } from './cleanup.ts';
import { findPrometheus } from './find-prometheus.ts';
import { until } from './until.ts';

const run = promisify(execFile);

export interface PrometheusOptions {
  /** What is scraped each second: the job's name, and host:port of its instances. */
  readonly targets: Readonly<Record<string, readonly string[]>>;
  /** Paths of files of rules. */
  readonly rules: readonly string[];
}

export interface PrometheusServer {
  /** The data of an answer of its API. @param path behind `/api/v1/`; throws with what it says of an error */
  ask<T>(path: string, query?: Readonly<Record<string, string>>): Promise<T>;
  stop(): Promise<void>;
}

/** A real Prometheus in a temporary folder; resolves when it answers. */
export async function startPrometheus(o: PrometheusOptions): Promise<PrometheusServer> {
  const { prometheus } = await findPrometheus(console.log);
  const directory = temporaryFolder('prometheus');
  const config = join(directory, 'prometheus.yml');
  const jobs = Object.entries(o.targets).map(([job_name, targets]) => ({
    job_name,
    static_configs: [{ targets }],
  }));
  const global = { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '5s' };
  // JSON is YAML.
  writeFileSync(config, JSON.stringify({ global, rule_files: o.rules, scrape_configs: jobs }));
  const address = `127.0.0.1:${await freePort()}`;
  const child = spawn(
    prometheus,
    [
      `--config.file=${config}`,
      `--storage.tsdb.path=${join(directory, 'data')}`,
      `--web.listen-address=${address}`,
      '--log.level=error',
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const exited = once(child, 'exit');
  endWithUs({ pid: child.pid as number, exited });
  const ready = async (): Promise<boolean> => (await fetch(`http://${address}/-/ready`)).ok;
  await until(ready, 'Prometheus to be ready');
  return {
    ask: (path, query = {}) => ask(`http://${address}/api/v1/${path}`, query),
    async stop() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

async function ask<T>(url: string, query: Readonly<Record<string, string>>): Promise<T> {
  const answer = await fetch(`${url}?${new URLSearchParams(query)}`);
  const body = (await answer.json()) as { status: string; data: T; error?: string };
  if (body.status !== 'success') throw new Error(`${query.query ?? url}: ${body.error}`);
  return body.data;
}

/** What promtool says; @throws Error with what it says where it finds a fault */
export async function promtool(...args: readonly string[]): Promise<string> {
  const { promtool: path } = await findPrometheus(console.log);
  const { stdout } = await run(path, args).catch((error: { stdout: string; stderr: string }) => {
    throw new Error(`${error.stdout}${error.stderr}`);
  });
  return stdout;
}
