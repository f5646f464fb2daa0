import type { Environment } from './environment';

/** What to do if the address of the app cannot be used, by the error code of Node. */
const REMEDIES: Readonly<Record<string, string>> = {
  EADDRINUSE: 'is in use: set PORT to another port, or end the other process',
  EACCES: 'needs the rights of root: set PORT to 1024 or higher',
  EADDRNOTAVAIL: 'is not an address of this machine: set HOST to one of its addresses',
  ENOTFOUND: 'is not a known name: set HOST to an address of this machine',
};

/** Converts an error of `listen` into a sentence that names the variable to change. */
export function listenError(error: unknown, { host, port }: Pick<Environment, 'host' | 'port'>): Error {
  const remedy = REMEDIES[String(Object(error).code)];
  return remedy ? new Error(`${host}:${port} ${remedy}.`, { cause: error }) : (error as Error);
}

/** Says of an error of the data folder which variables to change. */
export function dataDirError(cause: unknown, dataDir: string): Error {
  return new Error(
    `The folder ${dataDir} cannot hold the database (${Object(cause).message}): ` +
      'set DATA_DIR to a folder that you may write, or DATABASE_URL to a PostgreSQL of yours.',
    { cause },
  );
}

/** The error of PgBouncer for `statement_timeout` of `ormconfig.ts`. */
const UNSUPPORTED = /^unsupported startup parameter: (\w+)/;

/** Says of an error of the first connection to the database which variable to check. */
export function connectError(error: unknown): Error {
  // Node tries each address of a name, and puts the errors into one without a message.
  const { message } = Object(Object(error).errors?.[0] ?? error);
  const [, parameter] = UNSUPPORTED.exec(message) ?? [];
  if (parameter !== undefined) return poolerError(parameter, error);
  return new Error(`Cannot connect to the database (${message}): check DATABASE_URL, if it is set.`, {
    cause: error,
  });
}

function poolerError(parameter: string, cause: unknown): Error {
  return new Error(
    `The pooler of DATABASE_URL refuses the startup parameter ${parameter}. ` +
      `Set ignore_startup_parameters = ${parameter} in pgbouncer.ini, and the time-out itself on the role: ALTER ROLE … SET ${parameter}.`,
    { cause },
  );
}
