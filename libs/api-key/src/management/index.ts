import './packages';

export { ApiKeyManagementModule, type ApiKeyManagementOptions } from './management.module';
