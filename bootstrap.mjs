#!/usr/bin/env node
// Runs a script of this checkout: node bootstrap.mjs <script> [arguments]
//
// Plain JavaScript for Node 18 or newer. Where the machine's Node is too old for the fleet, a newer one is brought
// under .pushfleet/node; where node_modules does not fit package-lock.json, packages are installed. Where all is
// in place the script runs at once, in this very process.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = dirname(fileURLToPath(import.meta.url));
const state = join(root, '.pushfleet');
const oldest = [22, 22];
const brought = {
  version: '24.21.0',
  integrity: {
    x64: 'sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==',
    arm64: 'sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==',
  },
};

const say = (line) => process.stderr.write(`${line}\n`);

/** Ends with advice instead of a stack trace. */
function fail(message) {
  say(message);
  process.exit(1);
}

function isNewEnough(version) {
  const [major, minor] = version.split('.').map(Number);
  return major > oldest[0] || (major === oldest[0] && minor >= oldest[1]);
}

/** A Node that runs the fleet, without bringing one; undefined where there is none. */
function findNode() {
  if (isNewEnough(process.versions.node)) return process.execPath;
  const path = join(state, 'node/bin/node');
  return existsSync(path) ? path : undefined;
}

// npm leaves a record of what it installed, written when all of it is there.
function packagesFit() {
  const wanted = readPackages(join(root, 'package-lock.json'));
  const installed = readPackages(join(root, 'node_modules/.package-lock.json'));
  if (installed === undefined) return false;
  const forUs = (list, us) => list === undefined || list.includes(us);
  const foreign = ({ os, cpu }) => !forUs(os, process.platform) || !forUs(cpu, process.arch);
  if (Object.values(installed).some(foreign)) return false;
  return Object.entries(wanted).every(([path, entry]) => {
    const found = installed[path];
    if (path === '' || (found === undefined && entry.optional)) return true;
    return found?.version === entry.version && found?.integrity === entry.integrity;
  });
}

function readPackages(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8')).packages;
  } catch {
    return undefined;
  }
}

/** Runs npm with what it prints on our standard error, since standard output belongs to the script. */
function npm(args, o) {
  const ran = spawnSync('npm', args, { stdio: ['ignore', 'pipe', 2], encoding: 'utf8', ...o });
  if (ran.error !== undefined) fail(`npm does not start (${ran.error.message}). Install npm 10 or newer.`);
  return ran;
}

function bringNode() {
  const integrity = brought.integrity[process.arch];
  const advice = `Install Node ${oldest.join('.')} or newer (https://nodejs.org, or "nvm install 24") and run this again.`;
  if (process.platform !== 'linux' || integrity === undefined) {
    fail(`Node ${process.versions.node} is too old for Pushfleet. ${advice}`);
  }
  const name = `node-linux-${process.arch}`;
  say(
    `Node ${process.versions.node} is too old: bringing Node ${brought.version} under .pushfleet (50 MB) …`,
  );
  const partial = join(state, 'node.partial');
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial, { recursive: true });
  const packed = npm(['pack', '--silent', `${name}@${brought.version}`], { cwd: partial });
  const archive = join(partial, `${name}-${brought.version}.tgz`);
  if (packed.status !== 0 || !existsSync(archive)) fail(`npm could not download ${name}. ${advice}`);
  const hash = createHash('sha512').update(readFileSync(archive)).digest('base64');
  if (`sha512-${hash}` !== integrity)
    fail(`The downloaded ${name} is not the one that was released. ${advice}`);
  const unpacked = spawnSync('tar', [
    '-xzf',
    archive,
    '-C',
    partial,
    '--strip-components=1',
    'package/bin/node',
  ]);
  const runs = spawnSync(join(partial, 'bin/node'), ['--version']);
  if (unpacked.status !== 0 || runs.status !== 0) fail(`${name} does not run on this machine. ${advice}`);
  rmSync(archive);
  rmSync(join(state, 'node'), { recursive: true, force: true });
  renameSync(partial, join(state, 'node'));
}

function installPackages() {
  say('Installing packages …');
  const ran = npm(['ci', '--include=dev', '--no-audit', '--no-fund'], { cwd: root });
  if (ran.status !== 0) fail('npm ci failed; the lines above say why.');
}

/** Two that start at once on a fresh checkout take turns; a holder that died is taken over. */
async function exclusively(work) {
  const lock = join(state, 'bootstrap.lock');
  const mine = `${lock}.${process.pid}`;
  mkdirSync(state, { recursive: true });
  writeFileSync(mine, String(process.pid));
  for (let told = false; !tryLink(mine, lock); told = true) {
    if (!isAlive(lock)) rmSync(lock, { force: true });
    else if (!told) say('Waiting for another command that prepares this checkout …');
    await sleep(200);
  }
  rmSync(mine);
  const release = () => rmSync(lock, { force: true });
  process.once('exit', release);
  work();
  process.removeListener('exit', release);
  release();
}

// A hard link appears whole or not at all, so nobody reads half a lock.
function tryLink(mine, lock) {
  try {
    linkSync(mine, lock);
    return true;
  } catch {
    return false;
  }
}

function isAlive(lock) {
  try {
    return process.kill(Number(readFileSync(lock, 'utf8')), 0);
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function prepare() {
  if (findNode() === undefined) bringNode();
  usePathOf(findNode());
  if (!packagesFit()) installPackages();
}

/** Whatever is started from here on finds the Node that runs the fleet first. */
function usePathOf(node) {
  const paths = (process.env.PATH ?? '').split(delimiter);
  if (paths[0] !== dirname(node)) process.env.PATH = [dirname(node), ...paths].join(delimiter);
}

/** Runs the script under another Node and ends as it ends. */
function runUnder(node, script, args) {
  const child = spawn(node, [script, ...args], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    // A terminal's Ctrl-C reaches the child by itself, and a second one would mean "at once".
    process.on(signal, () => {
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
    });
  }
  endWithNpm(() => child.kill('SIGTERM'));
  child.on('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
}

/** npm hands no signal on: where it is killed, the script is asked to end, too. */
function endWithNpm(end) {
  if (process.env.npm_lifecycle_event === undefined) return;
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    end();
  }, 500);
  timer.unref();
}

const [file, ...args] = process.argv.slice(2);
if (file === undefined) fail('Name a script: node bootstrap.mjs <script> [arguments]');
if (findNode() === undefined || !packagesFit()) await exclusively(prepare);
const node = findNode();
usePathOf(node);
const script = resolve(root, file);
if (node === process.execPath) {
  process.argv.splice(1, 2, script);
  endWithNpm(() => process.kill(process.pid, 'SIGTERM'));
  await import(pathToFileURL(script).href);
} else {
  runUnder(node, script, args);
}
