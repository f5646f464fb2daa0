import { hash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import {
  type CanActivate,
  type ExecutionContext,
  ForbiddenException,
  Injectable,
  UnauthorizedException,
} from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { InjectRepository } from '@nestjs/typeorm';
import { Repository } from 'typeorm';
import { RailsApiKey } from './rails-api-key.entity';
import { RailsUser } from './rails-user.entity';

/** The scope that a route requires. */
export const RequireScope = Reflector.createDecorator<string>();

interface RailsRequest {
  readonly headers: IncomingHttpHeaders;
  apiKey?: RailsApiKey;
  user?: RailsUser | null;
}

/** The `before_action` of the Rails controller. It authenticates the key, then checks the scope. */
@Injectable()
export class RailsDesignGuard implements CanActivate {
  constructor(
    @InjectRepository(RailsApiKey) private readonly keys: Repository<RailsApiKey>,
    @InjectRepository(RailsUser) private readonly users: Repository<RailsUser>,
    private readonly reflector: Reflector,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<RailsRequest>();
    const apiKey = await this.keyOf(request);
    request.apiKey = apiKey;
    request.user = await this.users.findOneBy({ id: apiKey.userId });
    if (!apiKey.hasScope(this.reflector.get(RequireScope, context.getHandler())))
      throw new ForbiddenException({ error: 'INSUFFICIENT_SCOPE' });
    return true;
  }

  private async keyOf({ headers }: RailsRequest): Promise<RailsApiKey> {
    const key = presentedKey(headers);
    if (!key) throw new UnauthorizedException({ error: 'MISSING_API_KEY' });
    const apiKey = await this.authenticate(key);
    if (!apiKey) throw new UnauthorizedException({ error: 'INVALID_API_KEY' });
    return apiKey;
  }

  private async authenticate(key: string): Promise<RailsApiKey | null> {
    const apiKey = await this.keys.findOne({ where: { keyDigest: hash('sha256', key) } });
    if (!apiKey || apiKey.isExpired()) return null;
    await this.touch(apiKey);
    return apiKey;
  }

  /** Does the same as `touch(:last_used_at)` in Rails, which also sets `updated_at`. */
  private async touch(apiKey: RailsApiKey): Promise<void> {
    const now = new Date();
    await this.keys.update({ id: apiKey.id }, { lastUsedAt: now, updatedAt: now });
  }
}

function presentedKey(headers: IncomingHttpHeaders): string | undefined {
  const bearer = /^Bearer (.+)$/.exec(headers.authorization ?? '');
  return bearer?.[1] ?? headers['x-api-key']?.toString();
}
