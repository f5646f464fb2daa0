import type { KeyForms } from '../credential/key-forms';
import type { ApiKey } from '../model/api-key.entity';
import { ApiKeyAuthorityError, ApiKeyConflictError } from '../model/api-key.errors';
import type { KeyChange } from './key-change';

type Context = Pick<KeyChange, 'acting' | 'rules'>;

/**
 * Returns the problems of the environment of a new key.
 * @param isOfKey whether a key acts, whose environment is the default
 */
export function environmentProblems(given: unknown, forms: KeyForms, isOfKey: boolean): string[] {
  const { environments, defaultEnvironment } = forms;
  if (given === undefined && (isOfKey || defaultEnvironment !== undefined)) return [];
  if (environments.length === 0) return ['environment cannot be set, because option "prefix" names none'];
  if (typeof given === 'string' && environments.includes(given)) return [];
  return [`environment must be ${environments.join(' or ')}`];
}

/**
 * Returns the environment of a new key. A key makes keys of its own environment only.
 * @throws ApiKeyAuthorityError if a key acts, and another environment is given
 */
export function environmentOfNew(
  given: string | undefined,
  { acting, rules: { forms } }: Context,
): string | null {
  if (forms.environments.length === 0) return null;
  if (!acting.apiKey) return given ?? forms.defaultEnvironment ?? null;
  const { environment } = acting.apiKey;
  if (given !== undefined && given !== environment)
    throw new ApiKeyAuthorityError(['environment is not that of the acting key'], []);
  if (!forms.canMint(environment))
    throw new ApiKeyAuthorityError(['the acting key has no environment that new keys can have'], []);
  return environment;
}

/**
 * Returns the environment of the successor of a key: the same.
 * @throws ApiKeyConflictError if no new key can have it, or the prefix of the key is not accepted,
 *   because the successor would get the prefix of this application
 */
export function environmentOfSuccessor(target: ApiKey, context: Context): string | null {
  const { forms } = context.rules;
  if (!forms.mayStart(target.keyPrefix) && context.acting.apiKey?.id !== target.id)
    throw new ApiKeyConflictError(
      `key ${target.id} has a prefix that this application does not accept: rotate it where it is accepted`,
    );
  if (forms.environments.length === 0) return null;
  const environment = environmentOfTarget(target, context);
  if (environment !== undefined && forms.canMint(environment)) return environment;
  throw new ApiKeyConflictError(
    `key ${target.id} has no environment that new keys can have: create a key instead`,
  );
}

/**
 * Refuses a key that would change or end a key of another environment. It may read that key, so
 * this is not "not found".
 * @throws ApiKeyAuthorityError
 */
export function refuseOtherEnvironment(target: ApiKey, context: Context): void {
  if (isInReach(target, context)) return;
  throw new ApiKeyAuthorityError([`key ${target.id} is of another environment than the acting key`], []);
}

/**
 * Whether the actor may change or end a key as far as environments matter. A stored key whose
 * prefix is not accepted may be of another application on the same table, such as the live one. So
 * it is out of reach of every other key.
 */
export function isInReach(target: Pick<ApiKey, 'id' | 'keyPrefix'>, context: Context): boolean {
  const { acting, rules } = context;
  const { apiKey } = acting;
  if (!apiKey || apiKey.id === target.id) return true;
  const environment = environmentOfTarget(target, context);
  if (environment === undefined) return false;
  return rules.forms.environments.length === 0 || environment === apiKey.environment;
}

/**
 * The environment of a stored key; undefined if it is unknown. That of the acting key comes from
 * the presented key, that of another one from its stored start.
 */
function environmentOfTarget(
  { id, keyPrefix }: Pick<ApiKey, 'id' | 'keyPrefix'>,
  { acting: { apiKey }, rules: { forms } }: Context,
): string | null | undefined {
  return apiKey?.id === id ? apiKey.environment : forms.environmentOf(keyPrefix);
}
