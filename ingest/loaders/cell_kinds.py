"""Tells the cells of tables apart: numbers, dates, data that is never a name, words; and labels of forms."""

from __future__ import annotations

import re

_NUMBER = re.compile(
    r"[(+\-−]?\s?(?:[$€£¥￥₹]|[A-Z]{3}\s)?\s?\d[\d.,' \xa0\u202f]*(?:[eE][+-]?\d+)?\s?(?:%|‰|[$€£¥￥₹元])?\)?"
)
_YEAR = re.compile(r"(?:19|20)\d\d")
_DATE = re.compile(
    r"\d{4}[-/.年]\d{1,2}[-/.月]\d{1,2}日?(?:[T ]\d.*)?"
    r"|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|\d{1,2}:\d\d(?::\d\d)?"
)
_MEASURE = re.compile(
    r"[+\-−<>≤≥~±]?\s?\d[\d.,]*\s?"
    r"(?:[mckµu]?m[²³]?|k?g|mg|t|m?l|m?s|min|h|k?W|kWh|k?V|m?A|[kMG]?Hz|bar|[kM]?Pa|N|Nm|°C|°F|[KMGT]i?B|px|rpm"
    r"|万元?|亿元?|个|次|人|天|小时|分钟|秒|米|毫米|厘米|公里|公斤|千克|克|吨|升|岁|台|件)"
)
# Addresses, identifiers and truth values: they are what a column holds, and never its name.
_DATA = re.compile(
    r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+|(?:https?|ftp)://\S+|\d{1,3}(?:\.\d{1,3}){3}(?:[:/]\d+)?"
    r"|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|(?:[0-9a-f]{2}:){5}[0-9a-f]{2}|true|false",
    re.IGNORECASE,
)


def _words(listed: str) -> frozenset[str]:
    return frozenset(word.strip() for word in re.split("[|\n]", listed) if word.strip())


# Fields of forms, English and Chinese. Below each other in a first column they name what is beside them.
_LABELS = _words(
    """
    name|full name|first name|last name|surname|born|date of birth|sex|gender|age|nationality|address
    street|city|town|country|state|region|zip|zip code|postcode|phone|telephone|tel|mobile|fax|e-mail
    email|website|url|company|customer|client|supplier|vendor|contact|department|dept|position|title
    role|manager|owner|author|project|subject|order|order no|order number|invoice|invoice no|number|no
    reference|date|start|start date|end|end date|due date|issued|valid until|version|revision|status
    priority|type|model|serial|serial no|serial number|manufacturer|maker|brand|weight|height|width
    length|depth|size|colour|color|material|voltage|power|capacity|population|area|capital|language
    languages|currency|mayor|founded|location|place|room|duration|budget|price|total|amount|quantity
    description|remarks|notes|comments|signature|approved by|prepared by|姓名|名称|性别|年龄|出生日期
    出生年月|民族|籍贯|国籍|政治面貌|学历|学位|专业|毕业院校|身份证号|身份证号码|地址|住址|联系地址
    通讯地址|邮编|电话|联系电话|手机|手机号|手机号码|邮箱|电子邮箱|网址|传真|公司|公司名称|单位|单位名称
    工作单位|客户|客户名称|供应商|联系人|部门|所属部门|职务|职位|岗位|职称|负责人|经办人|申请人|填表人
    审批人|项目|项目名称|项目编号|合同编号|合同名称|合同金额|订单号|订单编号|发票号|编号|日期|申请日期
    填表日期|签订日期|开始日期|结束日期|开始时间|结束时间|时间|地点|版本|版本号|状态|类型|类别|型号|规格
    规格型号|品牌|产地|厂家|生产厂家|制造商|重量|高度|宽度|长度|尺寸|颜色|材质|材料|电压|功率|容量|数量
    单价|金额|总价|总额|价格|备注|说明|描述|签名|签字|国家|城市|省份|地区|人口|面积|首都|语言|货币|市长
    成立时间|主题|标题|作者|来源|用途|原因|事由
    """
)
# Further fields are called so, with up to two words, or six characters, before.
_LABEL_ENDS = re.compile(
    r"(?:[a-z]+ ){1,2}(?:name|no|number|id|date|time|address|phone|email|type|by)"
    r"|[\u4e00-\u9fff]{1,6}(?:名称|型号|编号|号码|日期|时间|地点|地址|电话|人员|单位|部门|金额|数量|类型|方式|主题|人|方)"
)
# What the second column of a list is called; under these a first column of labels is data.
_HEADINGS = _words(
    """
    value|values|meaning|definition|description|explanation|translation|type|data type|default|example
    comment|comments|notes|remarks|answer|status|unit|required|content|text|detail|details|purpose|label
    responsibility|responsibilities|task|tasks|duty|duties|action|cause|remedy|reason|result|值|取值
    含义|定义|说明|描述|解释|翻译|译文|类型|数据类型|默认值|示例|备注|答案|回答|状态|单位|是否必填|内容
    用途|要求|职责|任务|措施|原因|结果|处理方法|解决方法|应对措施
    """
)


def kind(text: str) -> str:
    """`year`, `date`, `number`, `measure` (a number with its unit), `data` or, for all else, `text`."""
    if _YEAR.fullmatch(text):
        return "year"
    if _DATE.fullmatch(text):
        return "date"
    if _DATA.fullmatch(text):
        return "data"
    if _NUMBER.fullmatch(text):
        return "number"
    return "measure" if _MEASURE.fullmatch(text) else "text"


def is_label(text: str) -> bool:
    """True for what names a field of a form: a usual label, or a short text before a colon."""
    bare = text.rstrip(":：*＊ ")
    if text[-1:] in ":：":
        return 0 < len(bare) <= 60
    wide = any(character > "\u2e7f" for character in bare)
    words = bare.replace(" ", "") if wide else bare.casefold().rstrip(".")
    return words in _LABELS or _LABEL_ENDS.fullmatch(words) is not None


def is_heading(text: str) -> bool:
    """True for a usual name of a list's second column, such as `Meaning` or `说明`."""
    return text.casefold() in _HEADINGS
