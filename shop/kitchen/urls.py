from django.urls import path

from shop.kitchen import views
from shop.kitchen.menu_editor import views as menu_views
from shop.kitchen.order_page import views as order_views

urlpatterns = [
    path("staff/", views.board, name="board"),
    path("staff/state", views.board_state, name="board_state"),
    path("staff/orders/<int:order_id>/move", views.board_move, name="board_move"),
    path("staff/orders", order_views.staff_orders, name="staff_orders"),
    path("staff/orders/<int:order_id>", order_views.staff_order, name="staff_order"),
    path("staff/orders/<int:order_id>/state", order_views.staff_order_state, name="staff_order_state"),
    path("staff/orders/<int:order_id>/step", order_views.order_move, name="order_move"),
    path("staff/orders/<int:order_id>/hand-over", order_views.order_hand_over, name="order_hand_over"),
    path("staff/orders/<int:order_id>/cancel", order_views.order_cancel, name="order_cancel"),
    path("staff/orders/<int:order_id>/take", order_views.order_take, name="order_take"),
    path("staff/orders/<int:order_id>/taken/<uuid:payment_id>", order_views.order_taken, name="order_taken"),
    path("staff/orders/<int:order_id>/refund/<uuid:payment_id>", order_views.order_refund, name="order_refund"),
    path("staff/menu", menu_views.menu_editor, name="menu_editor"),
    path("staff/menu/add", menu_views.product_add, name="product_add"),
    path("staff/menu/import", menu_views.menu_import, name="menu_import"),
    path("staff/menu/export", menu_views.menu_export, name="menu_export"),
    path("staff/menu/pause", menu_views.orders_pause, name="orders_pause"),
    path("staff/menu/<int:product_id>", menu_views.product_change, name="product_change"),
]
