import { ExecutionContextHost } from '@nestjs/core/helpers/execution-context-host';
import { ApiKeyRefusal } from '../model/api-key.errors';
import { resolveOptions } from '../options/api-key.options';
import { ApiKeyRefusalFilter } from './refusal.filter';

it.each([
  'rpc',
  'ws',
  'graphql',
])('a refusal over %s is rethrown, because that transport has no headers', (type) => {
  const refusal = new ApiKeyRefusal('INVALID_API_KEY');
  const host = new ExecutionContextHost([{}, {}]);
  host.setType(type);
  expect(() => new ApiKeyRefusalFilter(resolveOptions({})).catch(refusal, host)).toThrow(refusal);
});
