import { SingleBar } from 'cli-progress';

/** A bar that shows how far a long command is. */
export interface Progress {
  update(done: number): void;
  stop(): void;
}

const SILENT: Progress = { update() {}, stop() {} };

/** A bar on stderr where that is a terminal; elsewhere nothing. */
export function progressOn(stderr: NodeJS.WritableStream, total: number, what: string): Progress {
  if (!('isTTY' in stderr && stderr.isTTY)) return SILENT;
  const format =
    total > 0
      ? `{bar} {percentage}% of ${what}, {eta_formatted} left`
      : `{value} ${what}, {duration_formatted}`;
  const bar = new SingleBar({ stream: stderr, format, hideCursor: true, clearOnComplete: true });
  bar.start(total, 0);
  return { update: (done) => bar.update(done), stop: () => bar.stop() };
}
