import { mintKey, visiblePrefix, visibleSuffix } from './format';
import { maskKey } from './mask';

describe('a masked key', () => {
  it('is its visible start, three dots and its last 4 characters', () => {
    expect(maskKey('acme_live_3fKd', '9xQz')).toBe('acme_live_3fKd...9xQz');
  });

  it('of a Rails key is its visible start and three dots, because its end is unknown', () => {
    expect(maskKey('604eae8c', null)).toBe('604eae8c...');
  });

  it.each(['checksummed', 'hex'] as const)('of the %s format hides at least 41 characters', (format) => {
    const key = mintKey(format, 'acme_live');
    const [start = '', end = ''] = maskKey(visiblePrefix(key), visibleSuffix(key)).split('...');
    expect(key.startsWith(start)).toBe(true);
    expect(key.endsWith(end)).toBe(true);
    expect(key.length - start.length - end.length).toBeGreaterThanOrEqual(41);
  });
});
