/**
 * Returns the masked key, which logs and people may see: `acme_live_3fKd...9xQz`.
 * @param prefix column `key_prefix`
 * @param suffix column `key_suffix`; null if the last characters are unknown, as for keys of Rails
 */
export function maskKey(prefix: string, suffix: string | null): string {
  return `${prefix}...${suffix ?? ''}`;
}
