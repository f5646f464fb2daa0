import { isWellFormedKey, type KeyFormat, mintKey } from './format';

/** The prefixes of an application, and the environment of each. */
export interface KeyFormsSettings {
  readonly format: KeyFormat;
  /** Prefix of the new keys of each environment; by null if there are no environments. */
  readonly current: ReadonlyMap<string | null, string>;
  /** Environment of each accepted prefix; null: none. */
  readonly accepted: ReadonlyMap<string, string | null>;
  /** Environment of hex keys; null: none. */
  readonly hexEnvironment: string | null;
}

/** The start of a hex key, or the whole key. */
const HEX_START = /^[0-9a-f]+$/;

/** The forms and prefixes of the keys that an application creates and accepts. */
export class KeyForms {
  /** The names of the environments; empty if the application has none. */
  readonly environments: readonly string[];

  constructor(private readonly settings: KeyFormsSettings) {
    this.environments = [...settings.current.keys()].filter((name) => name !== null);
  }

  /**
   * Why a credential is not a key of this application, without I/O; null if it is one. `prefix`: it
   * is well-formed, but its prefix is not accepted.
   */
  problemOf(credential: string): 'malformed' | 'prefix' | null {
    if (!isWellFormedKey(credential, this.acceptsHex)) return 'malformed';
    return this.environmentOf(credential) === undefined ? 'prefix' : null;
  }

  /**
   * The environment of a well-formed key, or of the start of a key that the table stores: all
   * before the last `_` is compared exactly.
   * @returns null if the key has no environment; undefined if its prefix is not accepted
   */
  environmentOf(keyOrStart: string): string | null | undefined {
    const underscore = keyOrStart.lastIndexOf('_');
    if (underscore >= 0) return this.settings.accepted.get(keyOrStart.slice(0, underscore));
    return this.acceptsHex && HEX_START.test(keyOrStart) ? this.settings.hexEnvironment : undefined;
  }

  /**
   * Whether a key with this start may be imported: its prefix is accepted, or it is a hex key,
   * which works once the format is `hex`.
   */
  mayStart(start: string): boolean {
    return HEX_START.test(start) || this.environmentOf(start) !== undefined;
  }

  /** The environment of new keys if none is given; undefined: one must be given. */
  get defaultEnvironment(): string | null | undefined {
    const { current, hexEnvironment } = this.settings;
    if (this.acceptsHex) return hexEnvironment;
    return current.has(null) ? null : undefined;
  }

  /** Whether a new key can have this environment. */
  canMint(environment: string | null): boolean {
    return this.isHexIn(environment) || this.settings.current.has(environment);
  }

  /**
   * Creates a raw key. With format `hex`, only keys of an environment that hex keys do not have get
   * a prefix.
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
