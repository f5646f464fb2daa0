import { resolve } from 'node:path';

/** Optional packages of Nest and pg, which this application does not have. */
const MISSING = /^(@nestjs\/(microservices|websockets)|pg-native)(\/|$)/;

export default {
  mode: 'production',
  target: 'node',
  devtool: false,
  entry: { main: './src/main.ts', keys: './src/keys.ts' },
  output: { path: resolve('out/webpack'), filename: '[name].cjs' },
  externals: [({ request }, done) => (MISSING.test(request) ? done(null, `commonjs ${request}`) : done())],
  resolve: { extensions: ['.ts', '.js'], extensionAlias: { '.js': ['.ts', '.js'] } },
  module: { rules: [{ test: /\.ts$/, loader: 'ts-loader', options: { transpileOnly: true } }] },
};
