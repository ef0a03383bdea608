from django.urls import path

from payments.inbox import webhooks

platform_urls = [
    path("webhooks/mp", webhooks.platform_notified, name="platform_notified"),
    path("webhooks/mp/<str:key>", webhooks.notified, name="notified"),
]
cafeteria_urls = [path("api/v1/payments/webhook", webhooks.cafeteria_notified, name="cafeteria_notified")]
