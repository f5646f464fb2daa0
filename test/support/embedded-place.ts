import { once } from 'node:events';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { removeFolder, temporaryFolder } from './folder';
import { type Sample, startSample } from './sample';

/** A folder for data, and the sample apps that were started on it. */
export interface Place {
  readonly dataDir: string;
  start(): Promise<Sample>;
  /** Process id of the PostgreSQL server from its pid file. `null` if the pid file is missing. */
  serverPid(): number | null;
  pidFile(): string;
}

/** Runs `work` with a new folder. Stops all processes that use the folder afterwards. */
export function inPlace(work: (place: Place) => Promise<void>, folder = temporaryFolder) {
  return async () => {
    const dataDir = join(folder(), 'data');
    const started: Sample[] = [];
    const start = async () => {
      const sample = await startSample({ DATA_DIR: dataDir });
      started.push(sample);
      return sample;
    };
    const pidFile = () => join(realpathSync(join(dataDir, 'postgres')), 'postmaster.pid');
    const serverPid = () =>
      existsSync(pidFile()) ? Number(readFileSync(pidFile(), 'utf8').split('\n')[0]) : null;
    try {
      await work({ dataDir, start, serverPid, pidFile });
    } finally {
      await Promise.all(started.map((sample) => sample.stop()));
      removeFolder(join(dataDir, '..'));
    }
  };
}

/** Sends a request for the orders with a key and returns the status. */
export const status = async (sample: Sample, key: string) =>
  (await fetch(`${sample.url}/orders`, { headers: { 'x-api-key': key } })).status;

export async function kill(sample: Sample): Promise<void> {
  sample.process.kill('SIGKILL');
  await once(sample.process, 'exit');
}
