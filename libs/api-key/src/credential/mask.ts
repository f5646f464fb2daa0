/**
 * A key as logs and people may see it, `acme_live_3fKd...9xQz`.
 * @param prefix column `key_prefix`
 * @param suffix column `key_suffix`; null for keys issued by Rails, whose end is unknown
 */
export function maskKey(prefix: string, suffix: string | null): string {
  return `${prefix}...${suffix ?? ''}`;
}
