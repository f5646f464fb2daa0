import { requirePackages } from './required-packages';

/** What `require` throws for a package that is not installed. */
function notFound(name: string): () => never {
  return () => {
    throw Object.assign(new Error(`Cannot find module '${name}'\nRequire stack:\n- /app/main.js`), {
      code: 'MODULE_NOT_FOUND',
    });
  };
}

const broken = () => {
  throw new Error('needs Node 99');
};

describe('requirePackages', () => {
  it('accepts packages that are installed', () => {
    expect(() => requirePackages('feature', { pg: () => require('pg') })).not.toThrow();
  });

  it('names the feature and all packages that are missing', () => {
    const packages = { one: notFound('one'), pg: () => require('pg'), two: notFound('two') };
    expect(() => requirePackages('nestjs-api-key/feature', packages)).toThrow(
      'nestjs-api-key/feature needs one and two, which the application does not have. Run: npm install one two',
    );
  });

  it('throws the error of a package that is installed and cannot be loaded', () => {
    expect(() => requirePackages('feature', { one: broken })).toThrow('needs Node 99');
  });

  it('throws the error of a package that lacks a package of its own', () => {
    expect(() => requirePackages('feature', { one: notFound('its-own') })).toThrow(
      "Cannot find module 'its-own'",
    );
  });
});
