import { runOnHostileGround } from '../../support/hostile';

runOnHostileGround(['settings that a tenant left'], ['service', 'lifecycle']);
