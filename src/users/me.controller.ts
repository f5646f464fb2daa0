import { Controller, Get } from '@nestjs/common';
import { ApiKey, ApiKeyAuth, CurrentApiKey, CurrentUser } from 'nestjs-api-key';
import { User } from './user.entity';

@Controller('me')
@ApiKeyAuth()
export class MeController {
  @Get()
  show(@CurrentUser() user: User, @CurrentApiKey() apiKey: ApiKey) {
    const { id, name, masked, scopes, expiresAt } = apiKey;
    return { user: { id: user.id, email: user.email }, apiKey: { id, name, masked, scopes, expiresAt } };
  }
}
