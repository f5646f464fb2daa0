import { Module } from '@nestjs/common';
import { moduleOf } from './app-module';

@Module({ imports: [] })
class AppModule {}
@Module({ providers: [] })
class OtherModule {}
@Module({})
class EmptyModule {}
class AppService {}
const dynamic = { module: EmptyModule, imports: [] };

it.each<[string, object, unknown]>([
  ['AppModule', { AppModule, OtherModule, default: OtherModule }, AppModule],
  ['the default export', { default: OtherModule, AppModule: AppService, Root: AppModule }, OtherModule],
  ['the only module', { AppService, Root: AppModule, settings: null }, AppModule],
  ['a module under two names', { Root: AppModule, Main: AppModule }, AppModule],
  ['a dynamic module', { AppModule: dynamic }, dynamic],
  ['a dynamic module as default', { default: dynamic }, dynamic],
  ['AppModule of a CommonJS file', { default: { AppModule, OtherModule, __esModule: true } }, AppModule],
  ['the default export of a CommonJS file', { default: { default: AppModule, OtherModule } }, AppModule],
  ['a CommonJS file that is a module', { default: AppModule, 'module.exports': AppModule }, AppModule],
])('the module of a file is %s', (_, exported, module) => {
  expect(moduleOf(exported)).toBe(module);
});

it.each<[string, object, string]>([
  ['nothing', {}, 'nothing'],
  ['null', { default: null, 'module.exports': null }, 'nothing'],
  ['no module', { AppService, default: { AppService, __esModule: true } }, 'AppService'],
  ['a module without content', { AppModule: EmptyModule }, 'AppModule'],
  ['two modules', { Root: AppModule, Main: OtherModule }, 'Main, Root'],
])('a file that exports %s is an error that lists its exports', (_, exported, names) => {
  expect(() => moduleOf(exported)).toThrow(
    `The file of --app must export one module, AppModule or a default module. It exports ${names}. If a function makes the module, export what the function returns.`,
  );
});
