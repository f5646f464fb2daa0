import { isKeyPrefix, type KeyFormat } from '../credential/format';
import { KeyForms } from '../credential/key-forms';
import { type Check, isPlainObject, rule } from './checks';

/** One prefix, or the prefix of each environment. */
export type KeyPrefix = string | Readonly<Record<string, string>>;

/** Earlier prefixes: a list, or a list for each environment. */
export type AcceptedPrefixes = readonly string[] | Readonly<Record<string, readonly string[]>>;

/** The options that say which keys are of this application. */
export interface ResolvedPrefixes {
  readonly format: KeyFormat;
  readonly prefix: KeyPrefix;
  readonly acceptedPrefixes: AcceptedPrefixes;
  readonly hexEnvironment: string | null;
}

const ENVIRONMENT = /^[A-Za-z][A-Za-z0-9_-]{0,31}$/;

export const checkPrefix: Check = rule(
  (value) => isPrefix(value) || isByEnvironment(value, isPrefix),
  '1 to 32 letters and digits, parts joined by "_", such as acme_live; ' +
    'or an object of environments and their prefixes, such as { live: "acme_live", test: "acme_test" }',
);

export const checkAcceptedPrefixes: Check = rule(
  (value) => isPrefixList(value) || isByEnvironment(value, isPrefixList),
  'a list of prefixes, such as ["acme"]; or an object of environments and such lists, such as { live: ["acme"] }',
);

export const checkHexEnvironment: Check = rule(
  (value) => value === null || isEnvironment(value),
  'an environment of option "prefix", or null',
);

/** The problems of options that are valid one by one. */
export function problemsOfPrefixes({
  prefix = 'key',
  acceptedPrefixes = [],
  hexEnvironment = null,
  format = 'checksummed',
}: Partial<ResolvedPrefixes>): readonly string[] {
  const environments = environmentsOf(prefix);
  const named: [option: string, name: string][] = namesOf(acceptedPrefixes).map((name) => [
    'acceptedPrefixes',
    name,
  ]);
  if (hexEnvironment !== null) named.push(['hexEnvironment', hexEnvironment]);
  const unknown = named.filter(([, name]) => !environments.includes(name));
  const all = [...currentOf(prefix), ...earlierOf(acceptedPrefixes)].map(([, each]) => each);
  return [
    ...unknown.map(([option, name]) => `option "${option}": "prefix" has no environment "${name}"`),
    ...(new Set(all).size === all.length
      ? []
      : ['options "prefix" and "acceptedPrefixes" must name each prefix only once']),
    ...(hexEnvironment === null || format === 'hex'
      ? []
      : [
          'option "hexEnvironment" needs option "format" to be "hex", because no hex key is accepted otherwise',
        ]),
  ];
}

/** A frozen copy of the options. */
export function frozenPrefixes<Given extends Partial<ResolvedPrefixes>>(given: Given): Given {
  const { prefix, acceptedPrefixes } = given;
  return {
    ...given,
    ...(typeof prefix === 'object' && { prefix: Object.freeze({ ...prefix }) }),
    ...(acceptedPrefixes && { acceptedPrefixes: frozenLists(acceptedPrefixes) }),
  };
}

/** The names of the environments; empty if the prefix is a text. */
export function environmentsOf(prefix: KeyPrefix): readonly string[] {
  return typeof prefix === 'string' ? [] : Object.keys(prefix);
}

/** The forms of the keys of this application. */
export function keyFormsOf(options: ResolvedPrefixes): KeyForms {
  const { format, prefix, acceptedPrefixes, hexEnvironment } = options;
  const current = currentOf(prefix);
  const accepted = [...current, ...earlierOf(acceptedPrefixes)];
  return new KeyForms({
    format,
    current: new Map(current),
    accepted: new Map(accepted.map(([environment, each]) => [each, environment])),
    hexEnvironment,
  });
}

type InEnvironment = readonly [environment: string | null, prefix: string];

function currentOf(prefix: KeyPrefix): readonly InEnvironment[] {
  return typeof prefix === 'string' ? [[null, prefix]] : Object.entries(prefix);
}

function earlierOf(prefixes: AcceptedPrefixes): readonly InEnvironment[] {
  if (isList(prefixes)) return prefixes.map((prefix) => [null, prefix]);
  return Object.entries(prefixes).flatMap(([name, list]) => list.map((prefix) => [name, prefix] as const));
}

function namesOf(prefixes: AcceptedPrefixes): readonly string[] {
  return isList(prefixes) ? [] : Object.keys(prefixes);
}

function frozenLists(prefixes: AcceptedPrefixes): AcceptedPrefixes {
  if (isList(prefixes)) return Object.freeze([...prefixes]);
  const lists = Object.entries(prefixes).map(([name, list]) => [name, Object.freeze([...list])] as const);
  return Object.freeze(Object.fromEntries(lists));
}

function isList(prefixes: AcceptedPrefixes): prefixes is readonly string[] {
  return Array.isArray(prefixes);
}

function isPrefix(value: unknown): boolean {
  return typeof value === 'string' && isKeyPrefix(value);
}

function isPrefixList(value: unknown): boolean {
  return Array.isArray(value) && Array.from(value).every(isPrefix);
}

function isEnvironment(value: unknown): boolean {
  return typeof value === 'string' && ENVIRONMENT.test(value);
}

function isByEnvironment(value: unknown, fits: (one: unknown) => boolean): boolean {
  if (!isPlainObject(value)) return false;
  const entries = Object.entries(value);
  return entries.length > 0 && entries.every(([name, one]) => isEnvironment(name) && fits(one));
}
