import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnModuleInit } from '@nestjs/common';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from './api-key.options';
import { isInCatalogue, isWildcard } from './credential/scope';
import { asksForScopes, scopesAskedFor } from './route-access';
import { type Route, RouteInventory } from './route-inventory';
import { accessDeclaredByName, declaredAccess } from './scopes.decorator';
import { ScopesGuard } from './scopes.guard';
import { KeyStore } from './verification/key-store';

/** Stops the boot where it would leave a route less guarded than it says: no request has to find that out. */
@Injectable()
export class BootCheck implements OnModuleInit, OnApplicationBootstrap {
  private readonly logger = new Logger('ApiKeyModule');

  constructor(
    private readonly inventory: RouteInventory,
    private readonly store: KeyStore,
    @Inject(API_KEY_OPTIONS) private readonly options: ResolvedApiKeyOptions,
  ) {}

  /** @throws Error that lists every route whose scopes are not in the catalogue, are checked by no ScopesGuard, or are lost */
  onModuleInit(): void {
    const problems = this.inventory
      .routes()
      .flatMap((route) => [
        ...this.unknownScopes(route),
        ...this.uncheckedScopes(route),
        ...lostAccess(route),
      ]);
    if (problems.length > 0) throw new Error(`ApiKeyModule: ${problems.join('; ')}`);
    if (this.options.loopbackException && process.env.NODE_ENV === 'production') {
      this.logger.warn(
        'Plaintext from this machine is accepted: a proxy here that adds no header cannot be told from a local caller. ' +
          'If there is one, set loopbackException: false',
      );
    }
  }

  /** @throws Error where the table is missing or lacks a column */
  async onApplicationBootstrap(): Promise<void> {
    await this.store.check();
  }

  private unknownScopes({ name, access }: Route): string[] {
    const { scopes } = this.options;
    const asked = scopesAskedFor(access);
    const catalogue = scopes && Object.keys(scopes);
    const unknown = asked.filter(
      (scope) => isWildcard(scope) || (catalogue && !isInCatalogue(catalogue, scope)),
    );
    return unknown.map(
      (scope) => `${name} asks for the scope "${scope}", which is not in the catalogue of option "scopes"`,
    );
  }

  private uncheckedScopes(route: Route): string[] {
    const { name, access } = route;
    const checked =
      access.isPublic || !asksForScopes(access) || this.inventory.guardsOf(route).some(isScopesGuard);
    return checked
      ? []
      : [
          `${name} asks for scopes that no guard checks: add @UseGuards(ApiKeyGuard, ScopesGuard) or use @ApiKeyAuth; a guard of yours that does it must extend ScopesGuard`,
        ];
  }
}

/** A decorator that replaces the function of a method, or a class that overrides it, leaves behind what was declared on it. */
function lostAccess({ name, owner, method, handler }: Route): string[] {
  const declared = accessDeclaredByName(owner.prototype, method);
  const lost = declared && JSON.stringify(declared) !== JSON.stringify(declaredAccess(handler));
  return lost
    ? [
        `${name} lost what @Scopes, @AnyScope, @ApiKeyAuth or @Public declared, for its function was replaced by another decorator ` +
          'or overridden: put them above that decorator, and repeat them on the override',
      ]
    : [];
}

function isScopesGuard(guard: unknown): boolean {
  return (
    guard instanceof ScopesGuard ||
    guard === ScopesGuard ||
    (guard as { prototype?: unknown })?.prototype instanceof ScopesGuard
  );
}
