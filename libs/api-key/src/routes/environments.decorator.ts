import { type AccessDeclaration, declare } from './scopes.decorator';

/**
 * Accepts only keys of these environments, and so requires a key. `ScopesGuard` checks it. A
 * decorator on a method narrows that of its class: both must accept the key. A key without an
 * environment is refused.
 * @throws TypeError if no environment is given
 * @example
 * @Environments('live')
 */
export function Environments(...names: [string, ...string[]]): ClassDecorator & MethodDecorator {
  if (names.length === 0 || !names.every((name) => typeof name === 'string'))
    throw new TypeError('@Environments needs the names of environments of option "prefix"');
  return declare(
    (earlier: AccessDeclaration): AccessDeclaration => ({
      ...earlier,
      needsKey: true,
      environments: [...earlier.environments, names],
    }),
  );
}
