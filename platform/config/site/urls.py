"""`platform_urls` for the base domain; `shared_urls` for both kinds of host."""

from django.urls import path

from config.site.views import directory, landing, language
from core.design.views import design

platform_urls = [path("", landing, name="landing"), path("cafeterias", directory, name="directory"), path("design", design, name="design")]
shared_urls = [path("language", language, name="language")]
