import {
  type CanActivate,
  Controller,
  Delete,
  Get,
  Header,
  HttpCode,
  HttpStatus,
  Patch,
  Post,
  Request,
  type Type,
  UseFilters,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import {
  type Acting,
  ApiKeyService,
  type CreateApiKeyInput,
  type Scope,
  Scopes,
  type UpdateApiKeyInput,
} from '../index';
import {
  IssuedManagedApiKey,
  ManagedApiKey,
  ManagedApiKeyEventPage,
  ManagedApiKeyPage,
  ManagedApiKeyUsage,
} from './answers';
import {
  CreateApiKeyBody,
  CreateApiKeyForOwnerBody,
  DisableBody,
  EnableBody,
  fieldsOf,
  RotateBody,
  UpdateApiKeyBody,
} from './bodies';
import { DirectAnswers } from './direct-answers';
import { found } from './found';
import { ManagementInputs, type ManagementRequest } from './inputs';
import { ManagementFilter } from './management.filter';
import { marked, takes } from './marks';
import { presentEvent, presentIssued, presentKey } from './present';
import { EventsQuery, ListOfOwnersQuery, ListQuery, listingOf, RevokeQuery, revocationOf } from './queries';
import { type ActingOfRequest, RequestActors } from './request-actors';

/** The options of the controller. */
export interface ManagementRoutes {
  readonly path: string;
  readonly guards: readonly (Type<CanActivate> | CanActivate)[];
  readonly scopes: { readonly read: Scope; readonly write: Scope } | null;
  readonly acting: ActingOfRequest;
  /** Whether a caller for whom `acting` names only an actor may name owners. */
  readonly hasAdministrators: boolean;
}

/** Creates the controller class of the endpoints, with its path and guards. */
export function managementController(routes: ManagementRoutes): Type {
  const { path, guards, scopes, hasAdministrators } = routes;
  const Reads = () => (scopes ? Scopes(scopes.read) : nothing);
  const Writes = () => (scopes ? Scopes(scopes.write) : nothing);
  const actors = new RequestActors(routes.acting, hasAdministrators);
  const isAdministrator = (actor: Acting) => actors.isAdministrator(actor);
  /** Who acts in a request that changes keys. */
  const changerOf = (request: object): Acting => {
    const { needs = [], ...actor } = actors.of(request);
    return { ...actor, needs: scopes ? [...needs, scopes.write] : needs };
  };

  @Controller(path)
  @UseGuards(...guards)
  @UseFilters(ManagementFilter, DirectAnswers)
  @UseInterceptors(DirectAnswers, actors)
  class ApiKeysController {
    private readonly inputs = new ManagementInputs();

    constructor(private readonly keys: ApiKeyService) {}

    @Post()
    @Writes()
    @marked(
      'Create a key; the key is shown only once',
      HttpStatus.CREATED,
      IssuedManagedApiKey,
      400,
      403,
      409,
    )
    @takes({ body: hasAdministrators ? CreateApiKeyForOwnerBody : CreateApiKeyBody })
    @Header('Cache-Control', 'no-store')
    async create(@Request() request: ManagementRequest) {
      const actor = changerOf(request);
      const type = isAdministrator(actor) ? CreateApiKeyForOwnerBody : CreateApiKeyBody;
      const body = await this.inputs.bodyOf(type, request);
      const userId = actor.apiKey?.userId ?? actor.userId ?? '';
      const issued = await this.keys.create({ userId, ...fieldsOf(body) } as CreateApiKeyInput, actor);
      return presentIssued(issued, isAdministrator(actor));
    }

    @Get()
    @Reads()
    @marked('List keys, newest first', HttpStatus.OK, ManagedApiKeyPage, 400)
    @takes({ query: hasAdministrators ? ListOfOwnersQuery : ListQuery })
    async list(@Request() request: ManagementRequest) {
      const actor = actors.of(request);
      const type = isAdministrator(actor) ? ListOfOwnersQuery : ListQuery;
      const query = listingOf(await this.inputs.queryOf(type, request));
      const { items, nextCursor } = await this.keys.list(query, actor);
      return { items: items.map((apiKey) => presentKey(apiKey, isAdministrator(actor))), nextCursor };
    }

    @Get(':id')
    @Reads()
    @marked('See a key', HttpStatus.OK, ManagedApiKey, 404)
    @takes({ id: true })
    async show(@Request() request: ManagementRequest) {
      const actor = actors.of(request);
      return presentKey(found(await this.keys.get(request.params.id, actor)), isAdministrator(actor));
    }

    @Patch(':id')
    @Writes()
    @marked('Change a key', HttpStatus.OK, ManagedApiKey, 400, 403, 404, 409)
    @takes({ id: true, body: UpdateApiKeyBody })
    async update(@Request() request: ManagementRequest) {
      const actor = changerOf(request);
      const changes = fieldsOf(await this.inputs.bodyOf(UpdateApiKeyBody, request)) as UpdateApiKeyInput;
      const updated = found(await this.keys.update(request.params.id, changes, actor));
      return presentKey(updated, isAdministrator(actor));
    }

    @Post(':id/rotate')
    @Writes()
    @marked(
      'Create the successor of a key; the new key is shown only once',
      HttpStatus.CREATED,
      IssuedManagedApiKey,
      400,
      403,
      404,
      409,
    )
    @takes({ id: true, body: RotateBody })
    @Header('Cache-Control', 'no-store')
    async rotate(@Request() request: ManagementRequest) {
      const actor = changerOf(request);
      const body = await this.inputs.bodyOf(RotateBody, request);
      const issued = found(await this.keys.rotate(request.params.id, { ...body }, actor));
      return presentIssued(issued, isAdministrator(actor));
    }

    @Post(':id/disable')
    @Writes()
    @marked('Disable a key until it is enabled', HttpStatus.OK, ManagedApiKey, 400, 403, 404, 409)
    @takes({ id: true, body: DisableBody })
    @HttpCode(HttpStatus.OK)
    async disable(@Request() request: ManagementRequest) {
      const actor = changerOf(request);
      const body = await this.inputs.bodyOf(DisableBody, request);
      const disabled = found(await this.keys.disable(request.params.id, { ...body }, actor));
      return presentKey(disabled, isAdministrator(actor));
    }

    @Post(':id/enable')
    @Writes()
    @marked('Enable a disabled key', HttpStatus.OK, ManagedApiKey, 400, 403, 404, 409)
    @takes({ id: true, body: EnableBody })
    @HttpCode(HttpStatus.OK)
    async enable(@Request() request: ManagementRequest) {
      const actor = changerOf(request);
      const body = await this.inputs.bodyOf(EnableBody, request);
      const enabled = found(await this.keys.enable(request.params.id, { ...body }, actor));
      return presentKey(enabled, isAdministrator(actor));
    }

    @Delete(':id')
    @Writes()
    @marked(
      'Revoke a key, and all keys that it created if descendants=true',
      HttpStatus.NO_CONTENT,
      null,
      400,
      403,
      404,
    )
    @takes({ id: true, query: RevokeQuery })
    @HttpCode(HttpStatus.NO_CONTENT)
    async revoke(@Request() request: ManagementRequest): Promise<void> {
      const actor = changerOf(request);
      const query = await this.inputs.queryOf(RevokeQuery, request);
      found(await this.keys.revoke(request.params.id, revocationOf(query), actor));
    }

    @Get(':id/events')
    @Reads()
    @marked('List the audit events of a key', HttpStatus.OK, ManagedApiKeyEventPage, 400, 404)
    @takes({ id: true, query: EventsQuery })
    async events(@Request() request: ManagementRequest) {
      const actor = actors.of(request);
      const query = await this.inputs.queryOf(EventsQuery, request);
      const { items, nextCursor } = found(await this.keys.events(request.params.id, { ...query }, actor));
      return { items: items.map(presentEvent), nextCursor };
    }

    @Get(':id/usage')
    @Reads()
    @marked('Show the usage of a key', HttpStatus.OK, ManagedApiKeyUsage, 404)
    @takes({ id: true })
    async usage(@Request() request: ManagementRequest) {
      const actor = actors.of(request);
      return found(await this.keys.usage(request.params.id, actor));
    }
  }
  return ApiKeysController;
}

const nothing: MethodDecorator = () => {};
