"""What the page `login` says, and the frame of who is logged in."""

from __future__ import annotations

WORDS = {
    "login.title": ("Log in", "登录"),
    "login.token": ("Token", "令牌"),
    "login.hint": ("Whoever runs this server makes one:", "由运行服务器的人创建："),
    "login.do": ("Log in", "登录"),
    "login.wrong": ("This token is not known here.", "这里没有这个令牌。"),
    "login.out": ("Log out", "退出"),
    "login.read": ("read-only", "只读"),
    "login.as": ("Logged in with the token “{name}”", "已用令牌“{name}”登录"),
}
