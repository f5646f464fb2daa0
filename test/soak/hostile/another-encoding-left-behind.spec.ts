import { runOnHostileGround } from '../../support/hostile';

runOnHostileGround('another encoding that a tenant left', ['service', 'lifecycle']);
