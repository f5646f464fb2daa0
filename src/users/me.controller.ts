import { Controller, Get } from '@nestjs/common';
import { ApiOkResponse, ApiProperty } from '@nestjs/swagger';
import { ApiKey, ApiKeyAuth, CurrentApiKey, CurrentUser } from 'nestjs-api-key';
import { User } from './user.entity';

class CallingUser implements Pick<User, 'id' | 'email'> {
  @ApiProperty()
  readonly id!: string;

  @ApiProperty()
  readonly email!: string;
}

class CallingKey implements Pick<ApiKey, 'id' | 'name' | 'masked' | 'scopes' | 'expiresAt'> {
  @ApiProperty()
  readonly id!: string;

  @ApiProperty()
  readonly name!: string;

  @ApiProperty()
  readonly masked!: string;

  @ApiProperty({ type: [String] })
  readonly scopes!: string[];

  @ApiProperty({ type: String, format: 'date-time', nullable: true })
  readonly expiresAt!: Date | null;
}

class Me {
  @ApiProperty()
  readonly user!: CallingUser;

  @ApiProperty()
  readonly apiKey!: CallingKey;
}

@Controller('me')
@ApiKeyAuth()
export class MeController {
  @Get()
  @ApiOkResponse({ type: Me })
  show(@CurrentUser() user: User, @CurrentApiKey() apiKey: ApiKey): Me {
    const { id, name, masked, scopes, expiresAt } = apiKey;
    return { user: { id: user.id, email: user.email }, apiKey: { id, name, masked, scopes, expiresAt } };
  }
}
