import { isWellFormedKey, type KeyFormat, mintKey } from './format';

/** The prefixes of an application's keys, and the environment of each prefix. */
export interface KeyFormsSettings {
  readonly format: KeyFormat;
  /**
   * Prefix of new keys, by environment. The environment is null if the application has no
   * environments.
   */
  readonly current: ReadonlyMap<string | null, string>;
  /** Environment by accepted prefix; null if keys with this prefix have no environment. */
  readonly accepted: ReadonlyMap<string, string | null>;
  /** Environment of hex keys; null if hex keys have no environment. */
  readonly hexEnvironment: string | null;
}

/** Pattern of a whole hex key, or of its start. */
const HEX_START = /^[0-9a-f]+$/;

/** The forms and prefixes of the keys that an application creates and accepts. */
export class KeyForms {
  /** Names of the environments; empty if the application has no environments. */
  readonly environments: readonly string[];

  constructor(private readonly settings: KeyFormsSettings) {
    this.environments = [...settings.current.keys()].filter((name) => name !== null);
  }

  /**
   * Returns why a credential is not a key of this application, or null if it can be one. `prefix`:
   * the credential is well-formed, but its prefix is not accepted. Does no I/O.
   */
  problemOf(credential: string): 'malformed' | 'prefix' | null {
    if (!isWellFormedKey(credential, this.acceptsHex)) return 'malformed';
    return this.environmentOf(credential) === undefined ? 'prefix' : null;
  }

  /**
   * Returns the environment of a well-formed key, or of the stored start of a key. The text before
   * the last `_` must equal an accepted prefix.
   * @returns null if the key has no environment; undefined if its prefix is not accepted
   */
  environmentOf(keyOrStart: string): string | null | undefined {
    const underscore = keyOrStart.lastIndexOf('_');
    if (underscore >= 0) return this.settings.accepted.get(keyOrStart.slice(0, underscore));
    return this.acceptsHex && HEX_START.test(keyOrStart) ? this.settings.hexEnvironment : undefined;
  }

  /**
   * Returns whether a key with this start may be imported: its prefix is accepted, or it is a hex
   * key. Imported hex keys work as soon as the option for the format is `hex`.
   */
  mayStart(start: string): boolean {
    return HEX_START.test(start) || this.environmentOf(start) !== undefined;
  }

  /** Default environment of new keys; undefined if callers must choose an environment. */
  get defaultEnvironment(): string | null | undefined {
    const { current, hexEnvironment } = this.settings;
    if (this.acceptsHex) return hexEnvironment;
    return current.has(null) ? null : undefined;
  }

  /** Returns whether a new key can have this environment. */
  canMint(environment: string | null): boolean {
    return this.isHexIn(environment) || this.settings.current.has(environment);
  }

  /**
   * Creates a raw key. With format `hex`, the key gets a prefix only if its environment is not the
   * environment of hex keys.
   * @throws RangeError if no new key can have this environment
   */
  mint(environment: string | null): string {
    if (this.isHexIn(environment)) return mintKey('hex', '');
    const prefix = this.settings.current.get(environment);
    if (prefix === undefined) throw new RangeError('no new key can have this environment');
    return mintKey('checksummed', prefix);
  }

  /** The accepted prefixes, and whether hex keys are accepted. */
  get accepted(): { readonly prefixes: readonly string[]; readonly hex: boolean } {
    return { prefixes: [...this.settings.accepted.keys()], hex: this.acceptsHex };
  }

  private get acceptsHex(): boolean {
    return this.settings.format === 'hex';
  }

  private isHexIn(environment: string | null): boolean {
    return this.acceptsHex && environment === this.settings.hexEnvironment;
  }
}
