import type { ApiKey } from '../model/api-key.entity';
import { ApiKeyRefusal } from '../model/api-key.errors';
import type { Caller } from '../model/caller';
import { addressList, listHas } from '../model/ip-address';

type Addressed = Pick<Caller, 'address'>;

/**
 * Whether a key may be used from the address of a caller. If the key has `allowedIps`, an unknown
 * address is not allowed.
 */
export function isAllowedFrom({ allowedIps }: ApiKey, from: Addressed): boolean {
  if (allowedIps === null) return true;
  const { address } = from;
  return address !== null && listHas(addressList(allowedIps), address);
}

/** @throws ApiKeyRefusal `IP_NOT_ALLOWED` if the key may not be used from this address */
export function requireAllowedAddress(apiKey: ApiKey, from: Addressed): void {
  if (isAllowedFrom(apiKey, from)) return;
  const refused = { reason: 'address', apiKey, masked: apiKey.masked } as const;
  throw new ApiKeyRefusal('IP_NOT_ALLOWED', { refused });
}
