/** Answers what an option must be where a value is not that. */
export type Check = (value: unknown) => string | undefined;

/** One check a field of an option that is an object. */
export type FieldChecks<Fields> = Readonly<Record<keyof Fields, (value: unknown) => boolean>>;

export function must(holds: boolean, wanted: string): string | undefined {
  return holds ? undefined : wanted;
}

export function milliseconds(min: number, max: number): Check {
  return (value) => must(isWhole(value, min, max), `a whole number of milliseconds from ${min} to ${max}`);
}

export function isWhole(value: unknown, min: number, max: number): boolean {
  return Number.isInteger(value) && Number(value) >= min && Number(value) <= max;
}

/** Whether each field of an object has a check, and passes it. */
export function fieldsFit(value: unknown, checks: FieldChecks<object>): boolean {
  if (!isPlainObject(value)) return false;
  return Object.entries(definedOf(value)).every(
    ([name, given]) =>
      Object.hasOwn(checks, name) && (checks as FieldChecks<Record<string, unknown>>)[name]?.(given) === true,
  );
}

export function definedOf(value: object): object {
  return Object.fromEntries(Object.entries(value).filter(([, given]) => given !== undefined));
}

/** Not an instance of a class: what it inherits would be overlooked. */
export function isPlainObject(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}
