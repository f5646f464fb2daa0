import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { endWithFile } from './end-with-file';
import { until } from './until';

const ROOT = join(__dirname, '../..');
const FIXTURES = join(__dirname, '../fixtures');

/** The sample app in a separate process, started in the same way as by `npm start`. */
export interface Sample {
  readonly url: string;
  readonly port: number;
  readonly process: ChildProcess;
  /** Returns the output so far. */
  output(): string;
  /**
   * Sends SIGTERM and waits until the process has ended and all output has been read. Returns the
   * exit code.
   */
  stop(): Promise<number | null>;
}

/** The exit code and the output of a finished program. */
export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Starts the built app on a free port. If the app ends before it listens, the error contains the
 * output of the app.
 */
export async function startSample(env: Readonly<Record<string, string>>): Promise<Sample> {
  const child = spawn(process.execPath, ['dist/src/main.js'], {
    cwd: ROOT,
    env: cleanEnv({
      PORT: '0',
      NODE_OPTIONS: `--require ${FIXTURES}/with-options.cjs --require ${FIXTURES}/jumping-clock.cjs`,
      API_KEY_OPTIONS: '{"cache":{"lookUpTimeoutMs":10000}}',
      ...env,
    }),
  });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  child.stderr.on('data', (chunk) => (output += chunk));
  const closed = once(child, 'close');
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout.on('data', () => {
      const match = /^Listening on (http\S+)$/m.exec(output);
      if (match?.[1]) resolve(match[1]);
    });
    child.once('close', (code, signal) =>
      reject(new Error(`the app ended with ${signal ?? code}:\n${output}`)),
    );
  });
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
    await closed;
    return child.exitCode;
  };
  endWithFile(() => {
    child.kill('SIGCONT'); // a frozen process does not receive SIGTERM
    return stop();
  });
  return {
    url,
    port: Number(new URL(url).port),
    process: child,
    output: () => output,
    stop,
  };
}

/**
 * Returns the demo key that an app on an empty database prints. The app prints the key after the
 * line with its address.
 */
export async function demoKey(sample: Sample): Promise<string> {
  await until(() => sample.output().includes('curl -H'));
  return /acme_live_\w+/.exec(sample.output())?.[0] ?? '';
}

/** Runs the command line of the built app until it ends. */
export function runKeys(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  input = '',
): Promise<Finished> {
  return run(['dist/src/keys.js', ...args], env, input);
}

/** Runs the program of the built package until it ends. */
export function runBin(args: readonly string[], database: string, input = ''): Promise<Finished> {
  return run(['node_modules/nestjs-api-key/dist/cli/bin.js', ...args], { DATABASE_URL: database }, input);
}

async function run(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  input = '',
): Promise<Finished> {
  const child = spawn(process.execPath, args, { cwd: ROOT, env: cleanEnv(env) });
  child.stdin.on('error', () => {}); // a program that reads no input has closed it
  child.stdin.end(input);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => (stdout += chunk));
  child.stderr.on('data', (chunk) => (stderr += chunk));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

/**
 * Returns the environment of this process without variables that would change the settings of the
 * app. Adds the variables of `env`.
 */
function cleanEnv(env: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const {
    DATABASE_URL,
    REDIS_URL,
    RATE_LIMIT_STORAGE,
    DATA_DIR,
    HTTP_ADAPTER,
    API_KEY_FORMAT,
    TRUST_PROXY,
    LOG_LEVEL,
    PORT,
    HOST,
    NODE_ENV,
    ...rest
  } = process.env;
  return { ...rest, NO_COLOR: '1', ...env };
}
