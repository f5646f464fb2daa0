import {
  Body,
  type CanActivate,
  Controller,
  createParamDecorator,
  Delete,
  type ExecutionContext,
  Get,
  Header,
  HttpCode,
  HttpStatus,
  Param,
  Patch,
  Post,
  Query,
  type Type,
  UseFilters,
  UseGuards,
  UsePipes,
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
  DisableBody,
  EnableBody,
  EventsQuery,
  fieldsOf,
  ListQuery,
  RevokeQuery,
  RotateBody,
  revocationOf,
  UpdateApiKeyBody,
} from './bodies';
import { found } from './found';
import { ManagementFilter } from './management.filter';
import { managementPipe } from './management.pipe';
import { marked } from './marks';
import { presentEvent, presentIssued, presentKey } from './present';

/** The options of the controller. */
export interface ManagementRoutes {
  readonly path: string;
  readonly guards: readonly (Type<CanActivate> | CanActivate)[];
  readonly scopes: { readonly read: Scope; readonly write: Scope } | null;
  readonly acting: (context: ExecutionContext) => Acting;
}

/** Creates the controller class of the endpoints, with its path and guards. */
export function managementController({ path, guards, scopes, acting }: ManagementRoutes): Type {
  const Reads = () => (scopes ? Scopes(scopes.read) : nothing);
  const Writes = () => (scopes ? Scopes(scopes.write) : nothing);
  const Actor = createParamDecorator((_: unknown, context: ExecutionContext) => acting(context));
  const needs = scopes ? [scopes.write] : [];
  const Changer = createParamDecorator((_: unknown, context: ExecutionContext) => ({
    ...acting(context),
    needs,
  }));

  @Controller(path)
  @UseGuards(...guards)
  @UseFilters(ManagementFilter)
  @UsePipes(managementPipe())
  class ApiKeysController {
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
    @Header('Cache-Control', 'no-store')
    async create(@Changer() actor: Acting, @Body() body: CreateApiKeyBody) {
      const userId = actor.apiKey?.userId ?? actor.userId ?? '';
      return presentIssued(await this.keys.create({ userId, ...fieldsOf(body) } as CreateApiKeyInput, actor));
    }

    @Get()
    @Reads()
    @marked('List keys, newest first', HttpStatus.OK, ManagedApiKeyPage, 400)
    async list(@Actor() actor: Acting, @Query() query: ListQuery) {
      const { items, nextCursor } = await this.keys.list({ ...query }, actor);
      return { items: items.map((apiKey) => presentKey(apiKey)), nextCursor };
    }

    @Get(':id')
    @Reads()
    @marked('See a key', HttpStatus.OK, ManagedApiKey, 404)
    async show(@Actor() actor: Acting, @Param('id') id: string) {
      return presentKey(found(await this.keys.get(id, actor)));
    }

    @Patch(':id')
    @Writes()
    @marked('Change a key', HttpStatus.OK, ManagedApiKey, 400, 403, 404, 409)
    async update(@Changer() actor: Acting, @Param('id') id: string, @Body() body: UpdateApiKeyBody) {
      return presentKey(found(await this.keys.update(id, fieldsOf(body) as UpdateApiKeyInput, actor)));
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
    @Header('Cache-Control', 'no-store')
    async rotate(@Changer() actor: Acting, @Param('id') id: string, @Body() body: RotateBody) {
      return presentIssued(found(await this.keys.rotate(id, { ...body }, actor)));
    }

    @Post(':id/disable')
    @Writes()
    @marked('Disable a key until it is enabled', HttpStatus.OK, ManagedApiKey, 400, 403, 404, 409)
    @HttpCode(HttpStatus.OK)
    async disable(@Changer() actor: Acting, @Param('id') id: string, @Body() body: DisableBody) {
      return presentKey(found(await this.keys.disable(id, { ...body }, actor)));
    }

    @Post(':id/enable')
    @Writes()
    @marked('Enable a disabled key', HttpStatus.OK, ManagedApiKey, 400, 403, 404, 409)
    @HttpCode(HttpStatus.OK)
    async enable(@Changer() actor: Acting, @Param('id') id: string, @Body() body: EnableBody) {
      return presentKey(found(await this.keys.enable(id, { ...body }, actor)));
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
    @HttpCode(HttpStatus.NO_CONTENT)
    async revoke(
      @Changer() actor: Acting,
      @Param('id') id: string,
      @Query() query: RevokeQuery,
    ): Promise<void> {
      found(await this.keys.revoke(id, revocationOf(query), actor));
    }

    @Get(':id/events')
    @Reads()
    @marked('List the audit events of a key', HttpStatus.OK, ManagedApiKeyEventPage, 400, 404)
    async events(@Actor() actor: Acting, @Param('id') id: string, @Query() query: EventsQuery) {
      const { items, nextCursor } = found(await this.keys.events(id, { ...query }, actor));
      return { items: items.map(presentEvent), nextCursor };
    }

    @Get(':id/usage')
    @Reads()
    @marked('Show the usage of a key', HttpStatus.OK, ManagedApiKeyUsage, 404)
    async usage(@Actor() actor: Acting, @Param('id') id: string) {
      return found(await this.keys.usage(id, actor));
    }
  }
  return ApiKeysController;
}

const nothing: MethodDecorator = () => {};
