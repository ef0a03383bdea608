from django.urls import path

from shop.menu.views import picture

urlpatterns = [path("media/<str:name>", picture, name="picture")]
