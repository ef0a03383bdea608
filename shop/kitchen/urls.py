from django.urls import path

from shop.kitchen import views
from shop.kitchen.menu_editor import views as menu_views

urlpatterns = [
    path("staff/", views.board, name="board"),
    path("staff/state", views.board_state, name="board_state"),
    path("staff/orders/<int:order_id>/move", views.board_move, name="board_move"),
    path("staff/menu", menu_views.menu_editor, name="menu_editor"),
    path("staff/menu/add", menu_views.product_add, name="product_add"),
    path("staff/menu/import", menu_views.menu_import, name="menu_import"),
    path("staff/menu/export", menu_views.menu_export, name="menu_export"),
    path("staff/menu/pause", menu_views.orders_pause, name="orders_pause"),
    path("staff/menu/<int:product_id>", menu_views.product_change, name="product_change"),
]
