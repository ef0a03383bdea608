from django.urls import path

from tenants.views import known_host

urlpatterns = [path("internal/known-host", known_host)]
