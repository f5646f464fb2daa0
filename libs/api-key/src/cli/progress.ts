import { SingleBar } from 'cli-progress';
import { rawStream } from './printable-host';

/** Shows the progress of a long command. */
export interface Progress {
  update(done: number): void;
  stop(): void;
}

const SILENT: Progress = { update() {}, stop() {} };

/** A progress bar on stderr if stderr is a terminal. Otherwise nothing is shown. */
export function progressOn(stderr: NodeJS.WritableStream, total: number, what: string): Progress {
  if (!('isTTY' in stderr && stderr.isTTY)) return SILENT;
  const format =
    total > 0
      ? `{bar} {percentage}% of ${what}, {eta_formatted} left`
      : `{value} ${what}, {duration_formatted}`;
  const bar = new SingleBar({ stream: rawStream(stderr), format, hideCursor: true, clearOnComplete: true });
  bar.start(total, 0);
  return { update: (done) => bar.update(done), stop: () => bar.stop() };
}
