/* SPDX-License-Identifier: Apache-2.0 */

/* Ordinary prose in several scripts, and what an attacker would send instead. */

#include "texts.h"

#include <string.h>

/* clang-format off */
const struct text texts[] = {
	{"ascii",
		"The harbour was quiet that morning. A few gulls walked along the wall, and the first boat "
		"came in with less than it had gone out for. Nobody spoke of it; the ice was brought, the "
		"nets were hung up to dry, and by nine o'clock the market had opened as on any other day. "},
	{"german",
		"Über die Brücke fährt um fünf nach acht der erste Zug, und wer früher aufsteht, muß zu Fuß "
		"gehen. Die Straße führt am Fluß entlang, an Gärten und Höfen vorüber, bis zum alten Zollhaus; "
		"dort gibt es Käse, Brötchen und heißen Tee für müde Gäste. "},
	{"french",
		"À l'époque où les élèves rentraient chez eux à pied, la forêt était déjà noire avant le dîner. "
		"Le garçon écoutait les arbres craquer, pensait à la fenêtre éclairée, à la soupe, à sa mère "
		"qui l'avait prévenu, et marchait un peu plus vite sans s'être retourné. "},
	{"turkish",
		"Sabah ışıkları limana vurduğunda balıkçılar ağlarını çoktan toplamıştı. Kıyıdaki kahvede iki "
		"yaşlı adam konuşmadan çay içiyor, sokağın başında bir kız taze simit satıyordu. Rüzgâr dinmişti; "
		"akşama kadar kimsenin acelesi yoktu. "},
	{"greek",
		"Το πρωί η θάλασσα ήταν ήσυχη και οι ψαράδες είχαν ήδη γυρίσει. Στην πλατεία άνοιγαν τα μαγαζιά, "
		"μια γυναίκα πότιζε τα λουλούδια της και δύο παιδιά έτρεχαν πίσω από ένα σκυλί που δεν ήθελε να "
		"σταματήσει πουθενά. "},
	{"cyrillic",
		"Утром в деревне было тихо, только где-то за рекой лаяла собака. Старик вышел на крыльцо, "
		"посмотрел на небо и решил, что дождя сегодня не будет. Потом он взял корзину и пошёл в лес, "
		"не торопясь, как ходят люди, которым некуда спешить. "},
	{"hindi",
		"सुबह की पहली गाड़ी आठ बजे स्टेशन पर आती है। लोग चाय पीते हैं, अखबार पढ़ते हैं और एक दूसरे से मौसम की बात करते हैं। "
		"जब घंटी बजती है तो सब अपना सामान उठाते हैं और दौड़ पड़ते हैं। "},
	{"cjk",
		"清晨的港口很安静,只有几只海鸥沿着堤岸走来走去。第一条船回来的时候,太阳刚刚升起,渔夫们把网晾在木架上,"
		"谁也没有多说话。朝の市場では、魚を並べる人と値段を尋ねる人の声が静かに重なっていた。"},
	{"emoji",
		"Good morning 🌞 the train is late again 🚆😴 so I bought coffee ☕ and a croissant 🥐 for both of us. "
		"See you at the bridge 🌉 around nine? Bring the dog 🐕 and an umbrella ☔ please 🙏🏽. "},
	{"invalid", "\xFF\xFE\xC0\xAF\xED\xA0\x80\xF8\x80\xE1\xBF\xC3\xF4\x90\x80\x80"},
	{"threefold", "\u0390\u03B0\u0390\u0390\u03B0"},
	{NULL, NULL},
};
/* clang-format on */

/* The last character may have been cut: there are blanks in its place. */
void text_fill(const struct text *text, uint8_t *to, size_t size)
{
	size_t length = strlen(text->words);

	for (size_t i = 0; i < size; i++)
		to[i] = (uint8_t)text->words[i % length];
	while (size > 0 && (to[size - 1] & 0xC0) == 0x80)
		to[--size] = ' ';
	if (size > 0 && to[size - 1] >= 0xC0)
		to[--size] = ' ';
}
