import { addressList, listHas } from '../address-list';
import type { ApiKey } from '../api-key.entity';
import { ApiKeyRefusal } from '../api-key.errors';
import { type ApiKeyRequest, addressOf } from './http-exchange';

/** @throws ApiKeyRefusal `IP_NOT_ALLOWED` where the key may not be used from the address of the request, or that is unknown */
export function requireAllowedAddress(request: ApiKeyRequest, apiKey: ApiKey): void {
  if (apiKey.allowedIps === null) return;
  const address = addressOf(request);
  if (address !== null && listHas(addressList(apiKey.allowedIps), address)) return;
  const refused = { reason: 'address', apiKey, masked: apiKey.masked } as const;
  throw new ApiKeyRefusal('IP_NOT_ALLOWED', { refused });
}
