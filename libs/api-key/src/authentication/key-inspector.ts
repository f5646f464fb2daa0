import { HttpException, Injectable } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { missingScopes } from '../credential/scope';
import { Database } from '../database/database';
import { refuseUnavailable } from '../database/store-errors';
import { findByDigest, type KeyAtTime } from '../keys/find-by-digest';
import { KeyRules } from '../keys/key-rules';
import type { ApiKey } from '../model/api-key.entity';
import { ApiKeyRefusal } from '../model/api-key.errors';
import type { ApiKeyState } from '../model/api-key-state';
import { type HttpRoute, httpRoutesOf } from '../routes/http-routes';
import { acceptsEnvironment, environmentsAccepted } from '../routes/route-environment';
import { type Route, RouteInventory } from '../routes/route-inventory';
import { type KeyForm, KeyVerifier } from './key-verifier';
import { OwnerLoader } from './owner-loader';

/** Properties and access of a key, for operators. Do not show this object to clients. */
export interface ApiKeyInspection {
  /** State of the key; `unknown` if the key is not stored, `malformed` if the text is not a key. */
  readonly state: ApiKeyState | 'unknown' | 'malformed';
  /**
   * Why every request with the key is refused, or null if the key itself is no reason for a
   * refusal. `prefix`: the application does not accept the prefix. `unused`: nobody used the key
   * for too long. `owner`: the option `loadUser` refuses the owner.
   */
  readonly reason: Exclude<ApiKeyInspection['state'], 'active'> | 'prefix' | 'unused' | 'owner' | null;
  /** The stored key, or null if the key is not stored. */
  readonly apiKey: ApiKey | null;
  /** Routes of HTTP controllers that require a key. Empty if the key is not stored. */
  readonly routes: readonly RouteInspection[];
}

/** Whether a key passes on a route. The address and the limits of the key are not checked. */
export interface RouteInspection extends HttpRoute {
  /** Class and method, such as `OrdersController.list`. */
  readonly handler: string;
  /** Scopes that the route requires. */
  readonly scopes: readonly string[];
  /** Groups of scopes. The route requires at least one scope of each group. */
  readonly anyScope: readonly (readonly string[])[];
  /** Required scopes that the key lacks. */
  readonly missing: readonly string[];
  /** Environments whose keys the route accepts, or null if the route accepts all keys. */
  readonly environments: readonly string[] | null;
  /** Whether the route accepts the environment of the key. */
  readonly acceptsEnvironment: boolean;
  /**
   * Whether a request passes: `missing` is empty, the route accepts the environment, and `reason`
   * is null.
   */
  readonly passes: boolean;
}

/** Returns the properties of a raw key without using the key. */
@Injectable()
export class KeyInspector {
  constructor(
    private readonly verifier: KeyVerifier,
    private readonly database: Database,
    private readonly rules: KeyRules,
    private readonly owners: OwnerLoader,
    private readonly inventory: RouteInventory,
    private readonly modules: ModulesContainer,
  ) {}

  /** See `ApiKeyService.inspect`. */
  async inspect(key: unknown): Promise<ApiKeyInspection> {
    const form = this.verifier.formOf(key);
    if (form === null) return absent('malformed');
    const found = await findByDigest(this.database, form.digests, this.rules.derive).catch(refuseUnavailable);
    if (!found) return absent('unknown', form.isAccepted ? 'unknown' : 'prefix');
    const { apiKey, now } = found;
    apiKey.environment = form.environment;
    const reason = await this.reasonOf(found, form);
    return { state: apiKey.stateAt(now), reason, apiKey, routes: this.routesFor(apiKey, reason === null) };
  }

  /** Returns why every request with a key is refused. Checks in the same order as for a request. */
  private async reasonOf({ apiKey, now }: KeyAtTime, form: KeyForm): Promise<ApiKeyInspection['reason']> {
    if (!form.isAccepted) return 'prefix';
    const state = apiKey.stateAt(now);
    if (state === 'active') return this.refusalOfOwner(apiKey);
    return state === 'expired' && !apiKey.isExpired(now) ? 'unused' : state;
  }

  /**
   * Checks whether `loadUser` refuses the owner of a key.
   * @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` if `loadUser` fails
   */
  private async refusalOfOwner(apiKey: ApiKey): Promise<'owner' | null> {
    try {
      await this.owners.load(apiKey);
      return null;
    } catch (error) {
      const isUnavailable = error instanceof ApiKeyRefusal && error.code !== 'INVALID_API_KEY';
      if (isUnavailable || !(error instanceof HttpException)) throw error;
      return 'owner';
    }
  }

  private routesFor(apiKey: ApiKey, isAccepted: boolean): RouteInspection[] {
    const routes = this.inventory.controllerRoutes().filter((route) => this.inventory.needsKey(route));
    return routes.flatMap((route) => {
      const judged = judge(route, apiKey, isAccepted);
      return httpRoutesOf(route, this.modules.applicationId).map((address) => ({ ...address, ...judged }));
    });
  }
}

function judge({ name, access }: Route, apiKey: ApiKey, isAccepted: boolean) {
  const missing = missingScopes(apiKey.scopes, access);
  const isOfEnvironment = acceptsEnvironment(access, apiKey);
  return {
    handler: name,
    scopes: access.all,
    anyScope: access.any,
    missing,
    environments: environmentsAccepted(access),
    acceptsEnvironment: isOfEnvironment,
    passes: isAccepted && missing.length === 0 && isOfEnvironment,
  };
}

function absent(
  state: 'malformed' | 'unknown',
  reason: 'malformed' | 'unknown' | 'prefix' = state,
): ApiKeyInspection {
  return { state, reason, apiKey: null, routes: [] };
}
