import { extractCredential, keysSent } from './extract';
import { mintKey } from './format';

const KEY = 'acme_live_UHgXgM9O0NUHfpTitcEZ0gd9SNALvD3aqC4WhqLhPpr3hBNJk';
const OTHER_KEY = 'key_51w3qwgWE5RyS7gR8YKudZAiu3ZAWq5PcQgcUUcOY1f2nRAul';
const NONE = { kind: 'none' };
const MALFORMED = { kind: 'malformed' };

const credential = (value: string) => ({ kind: 'credential', value });
const extract = (...rawHeaders: string[]) => extractCredential(rawHeaders, 'x-api-key');

describe('the Bearer token of Authorization is the credential', () => {
  it.each([
    ['as it is written', `Bearer ${KEY}`],
    ['with the scheme in lower case', `bearer ${KEY}`],
    ['with the scheme in upper case', `BEARER ${KEY}`],
    ['with the scheme in mixed case', `bEaReR ${KEY}`],
    ['after several spaces', `Bearer    ${KEY}`],
  ])('%s', (_, authorization) => {
    expect(extract('Authorization', authorization)).toEqual(credential(KEY));
  });

  it.each(['authorization', 'Authorization', 'AUTHORIZATION'])('under the header name %s', (name) => {
    expect(extract('Host', 'localhost', name, `Bearer ${KEY}`, 'Accept', '*/*')).toEqual(credential(KEY));
  });

  it('also beside a key header of any content', () => {
    expect(extract('X-API-Key', OTHER_KEY, 'Authorization', `Bearer ${KEY}`)).toEqual(credential(KEY));
    expect(extract('X-API-Key', '', 'Authorization', `Bearer ${KEY}`)).toEqual(credential(KEY));
  });

  it('also if it is not a key of this application and the key header has a valid key', () => {
    expect(extract('Authorization', 'Bearer eyJhbGciOiJub25lIn0.e30.', 'X-API-Key', KEY)).toEqual(
      credential('eyJhbGciOiJub25lIn0.e30.'),
    );
  });

  it.each([
    ['a second word', `${KEY} more`],
    ['a list', `${KEY}, ${OTHER_KEY}`],
    ['two schemes', `Bearer ${KEY}`],
    ['quotation marks', `"${KEY}"`],
    ['a tab before the key', `\t${KEY}`],
    ['bytes that are not ASCII', 'clé\u0080\u00ff'],
    ['NUL', '\0'],
    ['16 KB', 'a'.repeat(16_384)],
  ])('with every character after the spaces, unchanged: %s', (_, value) => {
    expect(extract('Authorization', `Bearer ${value}`)).toEqual(credential(value));
  });
});

describe('the key header is the credential', () => {
  it.each([
    ['there is no Authorization', []],
    ['Authorization is empty', ['Authorization', '']],
    ['Authorization is blank', ['Authorization', ' \t ']],
    ['Bearer has no key', ['Authorization', 'Bearer']],
    ['Bearer is followed only by spaces', ['Authorization', 'Bearer   ']],
    ['Bearer is followed by a tab', ['Authorization', 'Bearer\t']],
    ['the scheme is Basic', ['Authorization', 'Basic dXNlcjpwYXNz']],
    ['the scheme is Digest', ['Authorization', 'Digest username="a"']],
    ['the scheme only begins like Bearer', ['Authorization', `Bearers ${OTHER_KEY}`]],
    ['the scheme goes on with "-"', ['Authorization', `Bearer-Token ${OTHER_KEY}`]],
    ['the key is glued to the scheme', ['Authorization', `Bearer${OTHER_KEY}`]],
    ['the scheme only ends like Bearer', ['Authorization', `xBearer ${OTHER_KEY}`]],
    ['Bearer is not the first word', ['Authorization', `Token Bearer ${OTHER_KEY}`]],
    ['the scheme is left out', ['Authorization', OTHER_KEY]],
    ['the scheme is one whose parameters need commas', ['Authorization', 'Digest realm="a", bearer=b']],
  ])('if %s', (_, headers) => {
    expect(extract(...headers, 'X-API-Key', KEY)).toEqual(credential(KEY));
    expect(extract('X-API-Key', KEY, ...headers)).toEqual(credential(KEY));
  });

  it.each([
    ..."!#$%&'*+-.^_`|~09azAZ",
  ])('if %s directly follows Bearer, because the scheme is then a different one', (character) => {
    expect(extract('Authorization', `Bearer${character} ${OTHER_KEY}`, 'X-API-Key', KEY)).toEqual(
      credential(KEY),
    );
  });

  it.each(['x-api-key', 'X-API-Key', 'X-Api-Key', 'X-API-KEY'])('under the name %s', (name) => {
    expect(extract(name, KEY)).toEqual(credential(KEY));
  });

  it('only under the configured name', () => {
    expect(extractCredential(['X-Service-Token', KEY], 'x-service-token')).toEqual(credential(KEY));
    expect(extractCredential(['X-API-Key', KEY], 'x-service-token')).toEqual(NONE);
  });

  it.each([
    ['a scheme', `Bearer ${KEY}`],
    ['a joined list', `${KEY}, ${OTHER_KEY}`],
    ['blanks around it', ` ${KEY} `],
    ['bytes that are not ASCII', '\u00e9\u00ff'],
  ])('unchanged, also with %s', (_, value) => {
    expect(extract('X-API-Key', value)).toEqual(credential(value));
  });
});

describe('there is no credential', () => {
  it.each([
    ['no header', []],
    ['only other headers', ['Host', 'localhost', 'X-API-Keys', KEY, 'Proxy-Authorization', `Bearer ${KEY}`]],
    ['headers whose names are as long', ['Accept-Ranges', `Bearer ${KEY}`, 'X-Another', KEY]],
    ['a key in the value of another header', ['X-Note', 'X-API-Key', 'Accept', KEY]],
    ['a key in a cookie', ['Cookie', `x-api-key=${KEY}`]],
    ['an empty key header', ['X-API-Key', '']],
    ['a blank key header', ['X-API-Key', ' \t']],
    ['Bearer alone', ['Authorization', 'Bearer']],
    ['Bearer alone and an empty key header', ['Authorization', 'bearer ', 'X-API-Key', '']],
    ['another scheme', ['Authorization', 'Basic dXNlcjpwYXNz']],
    ['a name without its value', ['X-API-Key']],
  ])('in %s', (_, rawHeaders) => {
    expect(extract(...rawHeaders)).toEqual(NONE);
  });
});

describe('a request without exactly one readable credential is malformed:', () => {
  it.each([
    ['two Authorization', ['Authorization', `Bearer ${KEY}`, 'Authorization', `Bearer ${OTHER_KEY}`]],
    ['two equal Authorization', ['Authorization', `Bearer ${KEY}`, 'Authorization', `Bearer ${KEY}`]],
    ['two Authorization in different case', ['Authorization', `Bearer ${KEY}`, 'authorization', 'Basic x']],
    ['two Authorization, the second empty', ['Authorization', `Bearer ${KEY}`, 'Authorization', '']],
    ['two key headers', ['X-API-Key', KEY, 'x-api-key', OTHER_KEY]],
    ['two empty key headers', ['X-API-Key', '', 'X-API-Key', '']],
    [
      'two key headers beside a Bearer token',
      ['Authorization', `Bearer ${KEY}`, 'X-API-Key', 'a', 'X-API-Key', 'b'],
    ],
    ['two Authorization beside a key header', ['Authorization', 'a', 'X-API-Key', KEY, 'Authorization', 'b']],
    ['a tab after Bearer', ['Authorization', `Bearer\t${KEY}`]],
    ['"=" after Bearer', ['Authorization', `Bearer=${KEY}`]],
    ['":" after Bearer', ['Authorization', `Bearer: ${KEY}`]],
    ['"," after Bearer', ['Authorization', `Bearer, ${KEY}`]],
    ['a no-break space after Bearer', ['Authorization', `Bearer\u00a0${KEY}`]],
    ['a letter that is not ASCII after Bearer', ['Authorization', `Beareré ${KEY}`]],
    ['Bearer joined to another scheme', ['Authorization', `Basic YTpi, Bearer ${KEY}`]],
    ['Bearer joined to an empty line', ['Authorization', `,bearer\t${KEY}`]],
    [
      'Bearer joined to another scheme beside a good key header',
      ['X-API-Key', KEY, 'Authorization', `Basic YTpi,Bearer ${OTHER_KEY}`],
    ],
    [
      'a tab after Bearer beside a good key header',
      ['Authorization', `Bearer\t${OTHER_KEY}`, 'X-API-Key', KEY],
    ],
  ])('%s', (_, rawHeaders) => {
    expect(extract(...rawHeaders)).toEqual(MALFORMED);
  });
});

describe('a header with a list of values, as some adapters pass it,', () => {
  const lines = (...values: unknown[]) => values as string[];

  it('is read if the list has one value', () => {
    expect(extract(...lines('Authorization', [`Bearer ${KEY}`]))).toEqual(credential(KEY));
    expect(extract(...lines('X-API-Key', [KEY]))).toEqual(credential(KEY));
  });

  it.each<[string, unknown]>([
    ['two values', [KEY, KEY]],
    ['no value', []],
    ['a number', 1],
    ['an object', {}],
    ['null', null],
  ])('is malformed if the list has %s', (_, value) => {
    expect(extract(...lines('X-API-Key', value))).toEqual(MALFORMED);
    expect(extract(...lines('Authorization', value, 'X-API-Key', KEY))).toEqual(MALFORMED);
  });

  it('is searched for sent keys', () => {
    expect(keysSent(lines('X-API-Key', [KEY, OTHER_KEY]), 'x-api-key')).toEqual([KEY, OTHER_KEY]);
  });
});

describe('the keys found in a request, with or without a valid credential,', () => {
  const HEX_KEY = 'a'.repeat(64);
  it.each<[string, string[], string[]]>([
    ['the Bearer token', ['Authorization', `Bearer ${KEY}`], [KEY]],
    ['the value of the key header', ['x-api-key', HEX_KEY], [HEX_KEY]],
    ['both', ['Authorization', `Bearer ${KEY}`, 'X-API-Key', OTHER_KEY], [KEY, OTHER_KEY]],
    ['a repeated key once', ['X-API-Key', KEY, 'X-API-Key', KEY], [KEY]],
    ['the keys of a list', ['X-API-Key', `"${KEY}",${OTHER_KEY}`], [KEY, OTHER_KEY]],
    ['no malformed key', ['Authorization', `Bearer ${KEY}x`, 'X-API-Key', 'key'], []],
    ['no value of other headers', ['X-Note', KEY, 'Cookie', KEY], []],
    ['no value for a name without a value', ['X-API-Key'], []],
  ])('%s', (_, rawHeaders, keys) => {
    expect(keysSent(rawHeaders, 'x-api-key')).toEqual(keys);
  });

  it('are none if the header has no letter', () => {
    expect(keysSent(['X-API-Key', '---'], 'x-api-key')).toEqual([]);
  });

  it('are at most four, because each one is looked up', () => {
    const many = Array.from({ length: 9 }, () => mintKey('checksummed', 'key'));
    expect(keysSent(['X-API-Key', many.join()], 'x-api-key')).toEqual(many.slice(0, 4));
  });
});
