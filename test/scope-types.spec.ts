import { type HeldScope, Scopes } from 'nestjs-api-key';

/**
 * The sample app declares a catalogue with `declare module`; each expected error below is checked
 * by `npm run typecheck`.
 */
it('a declared catalogue makes scopes a checked union: a scope outside it does not compile', () => {
  const held: HeldScope[] = ['orders:read', 'orders:*', '*'];
  // @ts-expect-error: no scope of the catalogue
  const mistyped: HeldScope = 'orders:raed';
  // @ts-expect-error: a wildcard over nothing in the catalogue
  const nowhere: HeldScope = 'invoices:*';
  // @ts-expect-error: a route asks for scopes, not for wildcards
  const wildcard = () => Scopes('orders:*');
  expect([...held, mistyped, nowhere, wildcard]).toHaveLength(6);
});
