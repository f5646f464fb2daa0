import type { ApiKey } from '../model/api-key.entity';
import { ApiKeyRefusal } from '../model/api-key.errors';
import { addressList, listHas } from '../model/ip-address';

/** @throws ApiKeyRefusal `IP_NOT_ALLOWED` where the key may not be used from an address, or that is unknown */
export function requireAllowedAddress(address: string | null, apiKey: ApiKey): void {
  if (apiKey.allowedIps === null) return;
  if (address !== null && listHas(addressList(apiKey.allowedIps), address)) return;
  const refused = { reason: 'address', apiKey, masked: apiKey.masked } as const;
  throw new ApiKeyRefusal('IP_NOT_ALLOWED', { refused });
}
