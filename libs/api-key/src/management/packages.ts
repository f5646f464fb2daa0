import { requirePackages } from '../index';

requirePackages('nestjs-api-key/management', {
  'class-validator': () => require('class-validator'),
  'class-transformer': () => require('class-transformer'),
});
