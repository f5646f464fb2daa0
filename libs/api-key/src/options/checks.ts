import { isCidr } from '../model/ip-address';

/** Returns what is wrong with the value of an option, one sentence each, without the value. */
export type Check = (value: unknown, name: string) => readonly string[];

/** One check for each field. */
export type Checks<Fields> = Readonly<Record<keyof Fields, Check>>;

/**
 * Checks one value.
 * @param wanted the accepted values, for the message
 */
export function rule(fits: (value: unknown) => boolean, wanted: string): Check {
  return (value, name) => (fits(value) ? [] : [`option "${name}" must be ${wanted}`]);
}

export const trueOrFalse = rule((value) => typeof value === 'boolean', 'true or false');

/** At least two words. */
export function oneOf(...words: readonly string[]): Check {
  const quoted = words.map((word) => `"${word}"`);
  return rule(
    (value) => words.some((word) => word === value),
    `${quoted.slice(0, -1).join(', ')} or ${quoted.at(-1)}`,
  );
}

export function wholeNumber(min: number, max: number): Check {
  return rule((value) => isWhole(value, min, max), `a whole number from ${min} to ${max}`);
}

export function wholeNumberOrNull(min: number, max: number): Check {
  return rule(
    (value) => value === null || isWhole(value, min, max),
    `a whole number from ${min} to ${max}, or null`,
  );
}

export function milliseconds(min: number, max: number): Check {
  return rule((value) => isWhole(value, min, max), `a whole number of milliseconds from ${min} to ${max}`);
}

export const cidrBlocks = rule(
  (value) => Array.isArray(value) && Array.from(value).every(isCidr),
  'a list of addresses or CIDR blocks, such as ["10.0.0.0/8", "fd00::/8"]; true and a number of hops are not accepted',
);

/** Checks an option that is an object, field by field. */
export function section<Fields>(checks: Checks<Fields>): Check {
  return (value, name) => {
    if (!isPlainObject(value))
      return [`option "${name}" must be an object of ${Object.keys(checks).join(', ')}`];
    return Object.entries(value).flatMap(([field, given]) =>
      Object.hasOwn(checks, field)
        ? problemsOf(checks, field, given, `${name}.${field}`)
        : [unknownOption(`${name}.${field}`, `the options of ${name}`, Object.keys(checks))],
    );
  };
}

/**
 * undefined means the default.
 * @param name a field of `checks`
 */
export function problemsOf(
  checks: Checks<object>,
  name: string,
  value: unknown,
  path = name,
): readonly string[] {
  const check = (checks as Checks<Record<string, unknown>>)[name];
  return check && value !== undefined ? check(value, path) : [];
}

export function unknownOption(path: string, which: string, names: readonly string[]): string {
  return `there is no option "${path}"; ${which} are ${names.join(', ')}`;
}

/** The given fields of a section, with defaults for the other fields; frozen. */
export function withDefaults<Fields extends object>(
  defaults: Required<Fields>,
  given: Fields = {} as Fields,
): Readonly<Required<Fields>> {
  return Object.freeze({ ...defaults, ...definedOf(given) });
}

export function definedOf(value: object): object {
  return Object.fromEntries(Object.entries(value).filter(([, given]) => given !== undefined));
}

export function isWhole(value: unknown, min: number, max: number): boolean {
  return Number.isInteger(value) && Number(value) >= min && Number(value) <= max;
}

/** Refuses instances of classes, because their inherited fields would be ignored. */
export function isPlainObject(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}
