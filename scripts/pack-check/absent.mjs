/**
 * What an application without some optional packages does, a line each: the missing packages, the
 * code, and what it prints. `says` is part of an error, otherwise the code ends without an error.
 */
const OPTIONAL = ['@nestjs/event-emitter', '@nestjs/swagger', 'class-transformer', 'class-validator'];
const ROOT = `
const { ApiKeyModule, ApiKeyAuth, apiKeyMigrations } = require('nestjs-api-key');
class Orders {}
ApiKeyAuth('orders:read')(Orders);
ApiKeyModule.forRoot({ prefix: 'acme_live' });
apiKeyMigrations();`;
const MANAGEMENT = `require('nestjs-api-key/management').ApiKeyManagementModule.forRoot({ guards: 'open' });`;
const install = (names) =>
  `nestjs-api-key/management needs ${names.join(' and ')}, which the application does not have. Run: npm install ${names.join(' ')}`;

export const ABSENT = [
  { about: 'the package', missing: OPTIONAL, code: ROOT },
  { about: 'the command line', missing: OPTIONAL, code: `require('nestjs-api-key/cli');` },
  { about: 'the REST endpoints', missing: ['@nestjs/swagger', '@nestjs/event-emitter'], code: MANAGEMENT },
  {
    about: 'the REST endpoints',
    missing: ['class-validator'],
    code: MANAGEMENT,
    says: install(['class-validator']),
  },
  {
    about: 'the REST endpoints',
    missing: ['class-transformer'],
    code: MANAGEMENT,
    says: install(['class-transformer']),
  },
  {
    about: 'the REST endpoints',
    missing: OPTIONAL,
    code: MANAGEMENT,
    says: install(['class-validator', 'class-transformer']),
  },
];
