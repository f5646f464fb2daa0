import { Body, Controller, Get, NotFoundException, Param, Post, Query } from '@nestjs/common';
import { ApiCreatedResponse, ApiNotFoundResponse, ApiOkResponse } from '@nestjs/swagger';
import { ApiKeyAuth, CurrentUser, Scopes } from 'nestjs-api-key';
import { User } from '../users/user.entity';
import { CreateOrder, OrderAnswer, OrderPage, PageQuery, presentOrder } from './order.dto';
import { OrdersService } from './orders.service';

@Controller('orders')
@ApiKeyAuth()
export class OrdersController {
  constructor(private readonly orders: OrdersService) {}

  @Get()
  @Scopes('orders:read')
  @ApiOkResponse({ type: OrderPage })
  async list(@CurrentUser() user: User, @Query() page: PageQuery): Promise<OrderPage> {
    const { items, nextCursor } = await this.orders.list(user.id, page);
    return { items: items.map(presentOrder), nextCursor };
  }

  @Get(':id')
  @Scopes('orders:read')
  @ApiOkResponse({ type: OrderAnswer })
  @ApiNotFoundResponse({ description: 'This user has no such order' })
  async show(@CurrentUser() user: User, @Param('id') id: string) {
    const order = await this.orders.find(user.id, id);
    if (!order) throw new NotFoundException('There is no such order.');
    return presentOrder(order);
  }

  @Post()
  @Scopes('orders:write')
  @ApiCreatedResponse({ type: OrderAnswer })
  async create(@CurrentUser() user: User, @Body() body: CreateOrder) {
    return presentOrder(await this.orders.create(user.id, body));
  }
}
