import { HttpException, Injectable } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { missingScopes } from '../credential/scope';
import { Database } from '../database/database';
import { refuseUnavailable } from '../database/store-errors';
import { findByDigest } from '../keys/find-by-digest';
import type { ApiKey } from '../model/api-key.entity';
import { ApiKeyRefusal } from '../model/api-key.errors';
import type { ApiKeyState } from '../model/api-key-state';
import { type HttpRoute, httpRoutesOf } from '../routes/http-routes';
import { RouteInventory } from '../routes/route-inventory';
import { KeyVerifier } from './key-verifier';
import { OwnerLoader } from './owner-loader';

/** What a key is and what it opens, for operators. A caller must not see it. */
export interface ApiKeyInspection {
  /** The state of the key; `unknown` if it is not stored, `malformed` if the text is not a key. */
  readonly state: ApiKeyState | 'unknown' | 'malformed';
  /**
   * Why every request with the key is refused; null: none is refused for the key itself. `owner`:
   * option `loadUser` refuses the owner.
   */
  readonly reason: Exclude<ApiKeyInspection['state'], 'active'> | 'owner' | null;
  /** The stored key; null if there is none. */
  readonly apiKey: ApiKey | null;
  /** The routes of HTTP controllers that need a key; none if there is no stored key. */
  readonly routes: readonly RouteInspection[];
}

/** Whether a key passes on a route. Address and limits of the key are not checked. */
export interface RouteInspection extends HttpRoute {
  /** Class and method, such as `OrdersController.list`. */
  readonly handler: string;
  /** Scopes that the route requires. */
  readonly scopes: readonly string[];
  /** Groups of scopes. The route requires one scope of each group. */
  readonly anyScope: readonly (readonly string[])[];
  /** The scopes that the key lacks. */
  readonly missing: readonly string[];
  /** Whether a request is accepted: nothing is missing, and `reason` is null. */
  readonly passes: boolean;
}

/** Finds out what a raw key is, without using it. */
@Injectable()
export class KeyInspector {
  constructor(
    private readonly verifier: KeyVerifier,
    private readonly database: Database,
    private readonly owners: OwnerLoader,
    private readonly inventory: RouteInventory,
    private readonly modules: ModulesContainer,
  ) {}

  /** See `ApiKeyService.inspect`. */
  async inspect(key: unknown): Promise<ApiKeyInspection> {
    const digests = this.verifier.digestsOf(key);
    if (digests === null) return absent('malformed');
    const found = await findByDigest(this.database, digests).catch(refuseUnavailable);
    if (!found) return absent('unknown');
    const { apiKey, now } = found;
    const state = apiKey.stateAt(now);
    const reason = state === 'active' ? await this.refusalOfOwner(apiKey) : state;
    return { state, reason, apiKey, routes: this.routesFor(apiKey, reason === null) };
  }

  /** @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` if `loadUser` fails */
  private async refusalOfOwner(apiKey: ApiKey): Promise<'owner' | null> {
    try {
      await this.owners.load(apiKey);
      return null;
    } catch (error) {
      if (error instanceof ApiKeyRefusal && error.code !== 'INVALID_API_KEY') throw error;
      if (error instanceof HttpException) return 'owner';
      throw error;
    }
  }

  private routesFor({ scopes: held }: ApiKey, isAccepted: boolean): RouteInspection[] {
    const routes = this.inventory.controllerRoutes().filter((route) => this.inventory.needsKey(route));
    return routes.flatMap((route) => {
      const { all, any } = route.access;
      const missing = missingScopes(held, { all, any });
      return httpRoutesOf(route, this.modules.applicationId).map((address) => ({
        ...address,
        handler: route.name,
        scopes: all,
        anyScope: any,
        missing,
        passes: isAccepted && missing.length === 0,
      }));
    });
  }
}

function absent(state: 'malformed' | 'unknown'): ApiKeyInspection {
  return { state, reason: state, apiKey: null, routes: [] };
}
